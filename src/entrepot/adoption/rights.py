"""May this process use a folder that another one filled? Asked before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from entrepot.oci.errors import RegistryError
from entrepot.registry import layout

#: Folders looked at below the root: a tree made by one other user shows in the first few.
_SAMPLE = 64


class FolderNotUsable(RegistryError):
    """The data folder belongs to somebody else."""


def require_rights(root: Path) -> None:
    """Check that files can be read from and written to a data folder.

    Raises:
        FolderNotUsable: They cannot; the message says which commands help.
    """
    if not root.exists():
        return  # making it will tell
    for folder in (root, *islice(_folders(root), _SAMPLE)):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise FolderNotUsable(_advice(root, folder))


def _folders(root: Path) -> Iterator[Path]:
    """Walk the first folders of every level that we will write to."""
    for top in (layout.BLOBS, layout.REPOSITORIES, layout.OWN):
        level = [root / top]
        while level := [folder for folder in level if folder.is_dir()][:8]:
            yield from level
            level = [child for folder in level if os.access(folder, os.R_OK) for child in islice(folder.iterdir(), 8)]


def _advice(root: Path, folder: Path) -> str:
    found, user, group = folder.stat(), os.geteuid(), os.getegid()
    return (
        f"User {user} may not read and write {folder}, which belongs to {found.st_uid}:{found.st_gid}. "
        f"Either give it away: chown -R {user}:{group} {root}\n"
        f"or run as its owner, for a container with: --user {found.st_uid}:{found.st_gid}"
    )
