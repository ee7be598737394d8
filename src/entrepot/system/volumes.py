"""How much space there is where the blobs lie."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from entrepot.registry import layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The disk below a folder, in bytes."""

    total: int
    free: int


#: Looks at the disk below the blobs.
VolumeOf = Callable[[], Awaitable[Volume]]


async def volume_of(root: Path) -> Volume:
    """Look at the disk below the blobs of a root folder, which may be another one than that of the root."""
    usage = await asyncio.to_thread(lambda: shutil.disk_usage(standing(root / layout.BLOBS)))
    return Volume(total=usage.total, free=usage.free)


def standing(folder: Path) -> Path:
    """Return a folder, or where it is not there yet the next one above it that is."""
    while not folder.exists():
        folder = folder.parent
    return folder
