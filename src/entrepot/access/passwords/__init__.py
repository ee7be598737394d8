"""Passwords, what guessing them costs, and who hashes when."""
