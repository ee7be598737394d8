"""Podman's and Buildah's own storage in a folder, so that nothing of the machine is used and nothing is left."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.support.containers import settings_in
from tests.support.terminal import Terminal


@contextmanager
def container_storage(terminal: Terminal, folder: Path) -> Iterator[Terminal]:
    """Point the terminal's Podman and Buildah at storage in a folder, and leave no mount behind."""
    more = terminal.more | settings_in(folder)
    try:
        yield replace(terminal, more=more)
    finally:
        unmount_below(folder)


@contextmanager
def folder_of_sockets() -> Iterator[Path]:
    """Give a folder with a short name, since the path of a socket has room for 107 bytes; it leaves no mount behind."""
    folder = Path(tempfile.mkdtemp(prefix="run-"))
    try:
        yield folder
    finally:
        unmount_below(folder)
        shutil.rmtree(folder)


def unmount_below(folder: Path) -> None:
    """Unmount everything in a folder, the innermost first."""
    for _ in range(10):
        points = _mounted_below(folder)
        for point in reversed(points):
            # A program that is just ending may be quicker; what counts is that nothing is left.
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
        if not points:
            return
    raise AssertionError(f"still mounted: {points}")


def _mounted_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [point for line in lines if (point := line.split()[1]).startswith(f"{folder}/")]
