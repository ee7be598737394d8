"""What a path names, found once the caller may do something with it."""
