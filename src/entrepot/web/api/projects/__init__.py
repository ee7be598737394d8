"""Projects and what they are set to."""
