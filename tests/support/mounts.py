"""Small file systems for tests: a tmpfs of some mebibytes, mounted for as long as the test lasts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.tools import find_tool


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs with options such as `size=16m`; takes root's rights."""
    folder.mkdir()
    command = [str(find_tool("mount")), "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"this test mounts a small tmpfs, so run it as root, outside of a sandbox: {done.stderr}")
    try:
        yield folder
    finally:
        subprocess.run([str(find_tool("umount")), str(folder)], check=True)


@contextmanager
def loop_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Mount an ext4 of so many mebibytes that lies in a file; none of it is kept for root."""
    folder.mkdir()
    image = folder.with_name(f"{folder.name}.ext4")
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    subprocess.run([str(find_tool("mkfs.ext4")), "-q", "-F", "-m", "0", str(image)], check=True)
    command = [str(find_tool("mount")), "-o", "loop", str(image), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"this test mounts a file as a disk, so run it as root, outside of a sandbox: {done.stderr}")
    try:
        yield folder
    finally:
        subprocess.run([str(find_tool("umount")), str(folder)], check=True)
        image.unlink()


def free_bytes(folder: Path) -> int:
    """Say how many bytes of the file system that holds a folder are free."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
