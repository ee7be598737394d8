"""Tags that can be neither moved nor deleted, by rules of their project."""
