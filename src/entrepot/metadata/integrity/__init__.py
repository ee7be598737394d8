"""Rows held against each other and against the bytes, and what was found."""
