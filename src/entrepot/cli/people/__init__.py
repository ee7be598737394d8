"""People, groups, robots, roles and keys, and who may do what."""
