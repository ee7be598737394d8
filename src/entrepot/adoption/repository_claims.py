"""Who reads which repository: of several processes on one folder, one at a time.

A claim is the lock of a file chosen by the repository's name. The kernel gives it back when its process dies, however
it dies. Names that share a file wait for each other, which costs nothing but time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrepot.oci.reference import RepositoryName
from entrepot.registry.layout import OWN

FOLDER_NAME = "adopting"


class Claims:
    """The claims on the repositories of one folder."""

    def __init__(self, root: Path) -> None:
        self._folder = root / OWN / FOLDER_NAME

    @contextmanager
    def claim(self, name: RepositoryName) -> Iterator[bool]:
        """Claim a repository for the time of the block; False when somebody else has it."""
        file = self._folder / hashlib.sha256(name.encode()).hexdigest()[:2]
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            yield _lock(descriptor)
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Remove the files, when nothing is left to be claimed."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
