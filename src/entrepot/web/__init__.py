"""HTTP: what is spoken on the registry's address, and nothing of what it means."""
