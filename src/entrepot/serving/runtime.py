"""The private folder that the processes of one `serve` share: metrics, notices, health, and what workers share.

It holds nothing that has to last and no process id. It lies in memory where the system offers that, and goes with the
supervisor; one left by a supervisor that was killed is removed by the next start. Others may empty that place, as
logind does when a person signs out (`RemoveIPC`): the supervisor looks, and makes the folder again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_PREFIX: Final = "entrepot-run-"
_LOCK: Final = "lock"


class RuntimeFolder:
    """Makes the folder; `close` removes it."""

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or _parent()
        _remove_stale(parent)
        self.path, self._lock = _make(parent)
        self.metrics.mkdir()

    @property
    def metrics(self) -> Path:
        """Where processes leave their metrics."""
        return self.path / "metrics"

    @property
    def notices(self) -> Path:
        """The socket on which children speak to the supervisor."""
        return self.path / "notices"

    @property
    def health(self) -> Path:
        """The file that exists while health checks fail."""
        return self.path / "unhealthy.json"

    def is_whole(self) -> bool:
        """Tell whether nobody has taken it away."""
        return os.fstat(self._lock).st_nlink > 0 and self.notices.exists()

    def make_again(self) -> None:
        """Make it in its old place after somebody took it away, with nothing in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(mode=0o700)
        os.close(self._lock)
        self._lock = _held(self.path)
        self.metrics.mkdir()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _parent() -> Path:
    """Prefer memory; fall back to the system's folder for temporary files."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder made below it is private (0700) and has a random name
    if os.access(memory, os.W_OK | os.X_OK):
        return memory
    return Path(tempfile.gettempdir())


def _make(parent: Path) -> tuple[Path, int]:
    """Make a folder and hold its lock; another start may take it for one that was left, until the lock is held."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with contextlib.suppress(FileNotFoundError):
            lock = _held(path)
            if os.fstat(lock).st_nlink:
                return path, lock
            os.close(lock)


def _held(folder: Path) -> int:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid():
                _remove_unless_held(folder)


def _remove_unless_held(folder: Path) -> None:
    """Remove a folder while holding its lock, so that whoever just made it sees that it is gone."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
