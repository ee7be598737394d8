"""Folders that other users may look into."""

from __future__ import annotations

from pathlib import Path


def let_others_in(folder: Path) -> None:
    """Open a folder to other users, and all folders above it, which pytest keeps closed."""
    for place in (folder, *folder.parents):
        if not place.stat().st_mode & 0o001:
            place.chmod(0o755)
