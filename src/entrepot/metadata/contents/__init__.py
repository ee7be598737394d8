"""Rows about what is stored: projects, repositories, tags, manifests and blobs, and the lists that show them."""
