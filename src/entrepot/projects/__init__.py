"""Projects as people manage them: made, seen, changed and deleted, with their settings and labels."""
