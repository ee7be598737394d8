"""People, groups, robots, roles, keys and how they sign in."""
