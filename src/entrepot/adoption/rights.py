"""May this process use a folder that another one filled? Asked before anything is touched."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from entrepot.adoption.tree import scan
from entrepot.config.mounts import READ_ONLY_REMEDY, is_mounted_read_only
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
    if not _exists(root):
        return  # making it will tell
    for folder in (root, *islice(_folders(root), _SAMPLE)):
        # Folders of blobs come and go while a server beside us collects.
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK) and folder.exists():
            raise FolderNotUsable(_advice(root, folder))
    _require_one_device(root)


def _exists(root: Path) -> bool:
    try:
        return root.exists()
    except PermissionError:
        return False


def _require_one_device(root: Path) -> None:
    """Try whether a file can be moved to the blobs: uploads are received elsewhere in the root and then moved there."""
    blobs, uploads = root / layout.BLOBS, root / layout.UPLOADS
    if not blobs.is_dir():
        return
    probe = (uploads if uploads.is_dir() else root) / f"probe-{secrets.token_hex(8)}"
    moved = blobs / f"{probe.name}.tmp"
    try:
        probe.touch()
        probe.replace(moved)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise FolderNotUsable(_one_device_advice(root)) from None
    finally:
        probe.unlink(missing_ok=True)
        moved.unlink(missing_ok=True)


def _one_device_advice(root: Path) -> str:
    return (
        f"{root / layout.BLOBS} is on another device, or another mount, than {root}: a received blob could not be "
        f"moved there. Mount or link the whole of {root} instead, or make {root / layout.UPLOADS} a symbolic link to "
        f"an empty folder on the device of the blobs"
    )


def _folders(root: Path) -> Iterator[Path]:
    """Walk the first folders of every level that we will write to."""
    for top in (layout.BLOBS, layout.REPOSITORIES, layout.OWN):
        level = [root / top]
        while level := [folder for folder in level if folder.is_dir()][:8]:
            yield from level
            level = [Path(child.path) for folder in level for child in islice(scan(str(folder)), 8)]


def _advice(root: Path, folder: Path) -> str:
    if is_mounted_read_only(folder):
        return f"{folder} cannot be written to; {READ_ONLY_REMEDY}"
    found, user, group = folder.stat(), os.geteuid(), os.getegid()
    return (
        f"User {user} may not read and write {folder}, which belongs to {found.st_uid}:{found.st_gid}. "
        f"Either give it away: chown -R {user}:{group} {root}\n"
        f"or run as its owner, for a container with: --user {found.st_uid}:{found.st_gid}"
    )
