"""What the kernel says of pages in memory."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.serving.page_cache import PageCache

MIB = 1 << 20


def can_tell(path: Path) -> bool:
    """Tell whether the kernel has the call (Linux 6.5), and the file system is one that reads without waiting."""
    major, minor = platform.release().split(".")[:2]
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], check=True, capture_output=True, text=True).stdout.strip()
    return (int(major), int(minor.partition("-")[0])) >= (6, 5) and kind in {"ext2/ext3", "xfs", "btrfs"}


@pytest.fixture
def written() -> Iterator[Path]:
    """A file that was just written, on a disk where there is one: temporary folders of tests are often in memory."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.write(os.urandom(MIB))
        file.flush()
        yield Path(file.name)


def test_a_file_just_written_is_in_memory(written: Path) -> None:
    """All of it and any part; what lies beyond its end is not. What cannot be told counts as not being there."""
    memory, told = PageCache(), can_tell(written)
    with written.open("rb") as file:
        assert memory.holds(file.fileno(), 0, MIB) >= told
        assert memory.holds(file.fileno(), 5000, 100) >= told
        assert not memory.holds(file.fileno(), 0, 2 * MIB)


def test_what_nobody_has_read_is_not_in_memory(tmp_path: Path) -> None:
    """A part of a file whose pages were never asked for."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(MIB)
    with path.open("rb") as file:
        assert not PageCache().holds(file.fileno(), 0, MIB)


def test_what_is_still_on_its_way_is_not_in_memory(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel counts pages that it has begun to read; to read one of them would wait for the disk."""

    def waits(_file: int, _into: object, _offset: int, flags: int) -> int:
        assert flags == os.RWF_NOWAIT
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "preadv", waits)
    with written.open("rb") as file:
        assert not PageCache().holds(file.fileno(), 0, MIB)


def test_what_is_no_file_is_not_in_memory() -> None:
    """A descriptor that is not open is answered like one whose pages are not there."""
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    assert not PageCache().holds(read, 0, MIB)
