"""File systems that take no writes, and what helps: asked at the start, and by `config check`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: What helps where a whole file system cannot be written to: no owner and no mode does.
READ_ONLY_REMEDY: Final = (
    "its file system is mounted read-only: mount it for writing (mount -o remount,rw; in a container without :ro), "
    "and look into the kernel's log (dmesg) when nobody asked for that, since errors of the disk do it too"
)


def is_mounted_read_only(folder: Path) -> bool:
    """Tell whether the file system of a folder that is there takes no writes at all."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
