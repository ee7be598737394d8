"""What projects use and may use, and where the space went."""
