"""A file that only we can read, made once: of any number of processes, one writes it and all see the same."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from entrepot.metadata.engine.synced_folder import sync


def create_once(path: Path, content: Callable[[], bytes]) -> bool:
    """Make the file unless it exists; True for the one process that made it.

    It is written beside its place, synced, and linked there: it appears whole, in one step, for one process only, and
    survives a power cut.
    """
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_private(draft, content())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
        sync(path.parent)
    sync(path.parent.parent)
    return True


def replace(path: Path, content: bytes) -> None:
    """Put new content in place of the old, in one step that survives a power cut."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_private(draft, content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove the file for good, if it is there."""
    if path.exists():
        path.unlink(missing_ok=True)
        sync(path.parent)


def _write_private(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
