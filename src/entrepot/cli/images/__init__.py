"""Repositories, tags and images: what people push and pull, and what they do with it most."""
