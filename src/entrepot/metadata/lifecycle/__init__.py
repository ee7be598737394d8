"""Rows about what goes and when: collection, trash, retention, immutable tags."""
