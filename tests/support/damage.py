"""Harm done to stored bytes, as disks and people do it."""

from __future__ import annotations

from pathlib import Path


def flip_a_bit(path: Path, at: int) -> None:
    """Change one bit of a file, in place."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 4]))
