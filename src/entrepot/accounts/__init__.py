"""Accounts: the people, groups, robots, keys and roles of the registry, and what an administrator does with them."""
