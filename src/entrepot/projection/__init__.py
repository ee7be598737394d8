"""The way back: registry:2's own files, written behind the metadata so that registry:2 can take the folder again.

The metadata are the truth. `projector` follows the outbox and writes manifest bytes and link files without waiting for
the disk; `comparison` holds the tree against the metadata, both ways, and writes what is missing. A turn
(`registry.locks`) keeps two of them apart.
"""
