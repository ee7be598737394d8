"""Which folders a backup may be restored into."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from entrepot.backup.errors import FolderInUse
from entrepot.metadata.opening import METADATA_NAME
from entrepot.registry.layout import OWN

#: The metadata while blobs are still to come.
UNFINISHED: Final = f"{METADATA_NAME}.restoring"
_STORAGE: Final = "docker"


def require_free(folder: Path, *, keep_storage: bool) -> None:
    """Refuse a folder that holds something. Blocks.

    A folder in which a restoration was stopped is as good as empty. One that has registry:2's files and has lost its
    metadata is taken when `keep_storage` says that they are to be kept.

    Raises:
        FolderInUse: There is something else in it, or a registry.
    """
    state = folder / OWN
    if (state / METADATA_NAME).exists():
        raise FolderInUse(
            f"there is a registry in {folder}: restore into another folder, or, if its database is lost or damaged, "
            f"stop Entrepot, move {state / METADATA_NAME} away and add --keep-storage"
        )
    if (state / UNFINISHED).exists() or not folder.exists():
        return
    names = sorted(path.name for path in folder.iterdir())
    if names and not (keep_storage and _STORAGE in names):
        hint = ". It has a registry's files without their database: --keep-storage keeps them"
        raise FolderInUse(
            f"{folder} is not empty: there is {names[0]} in it; name an empty or a new folder"
            f"{hint if _STORAGE in names else ''}"
        )
