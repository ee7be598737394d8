"""How much space there is where the blobs lie."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The disk below a folder, in bytes."""

    total: int
    free: int


async def volume_of(folder: Path) -> Volume:
    """Look at the disk below a folder."""
    usage = await asyncio.to_thread(shutil.disk_usage, folder)
    return Volume(total=usage.total, free=usage.free)
