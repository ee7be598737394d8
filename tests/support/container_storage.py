"""Podman's and Buildah's own storage in a folder, so that nothing of the machine is used and nothing is left."""

from __future__ import annotations

import subprocess
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


def unmount_below(folder: Path) -> None:
    """Unmount everything in a folder, the innermost first."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = [line.split()[1] for line in lines]
    for point in reversed([point for point in points if point.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", point], check=True)
