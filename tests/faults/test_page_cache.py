"""What the kernel says of pages in memory."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path

from entrepot.serving.page_cache import PageCache

MIB = 1 << 20


def can_tell() -> bool:
    """Tell whether this kernel has the call (Linux 6.5)."""
    major, minor = platform.release().split(".")[:2]
    return (int(major), int(minor.partition("-")[0])) >= (6, 5)


def test_a_file_just_written_is_in_memory(tmp_path: Path) -> None:
    """All of it and any part; what lies beyond its end is not. An older kernel says that it knows of nothing."""
    path, memory = tmp_path / "file", PageCache()
    path.write_bytes(os.urandom(MIB))
    with path.open("rb") as file:
        assert memory.holds(file.fileno(), 0, MIB) is can_tell()
        assert memory.holds(file.fileno(), 5000, 100) is can_tell()
        assert not memory.holds(file.fileno(), 0, 2 * MIB)


def test_what_was_dropped_is_on_the_disk_alone() -> None:
    """A file whose pages the kernel let go of is not in memory until it is read again."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert not PageCache().holds(file.fileno(), 0, MIB)
        os.pread(file.fileno(), MIB, 0)
        assert PageCache().holds(file.fileno(), 0, MIB) is can_tell()


def test_what_is_no_file_is_not_in_memory() -> None:
    """A descriptor that is not open is answered like one whose pages are not there."""
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    assert not PageCache().holds(read, 0, MIB)
