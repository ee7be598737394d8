"""One write transaction at a time over all processes of a host, taken in turn.

SQLite's own write lock is taken by whoever asks at the right moment, and the process that has just released it is
the one most likely to. Here a process first stands in the turnstile and from there waits for the lock: a process
that comes back finds another one in the turnstile, which is served before it. Both are `flock`s, so the kernel
gives them back when a process dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from entrepot.metadata.errors import DatabaseUnavailable


class WriteGate:
    """The two lock files beside a database, opened by one process."""

    def __init__(self, database: Path) -> None:
        """Open the lock files.

        Raises:
            DatabaseUnavailable: They cannot be opened.
        """
        with ExitStack() as stack:
            self._turnstile = _open(database.with_name(f"{database.name}.turn"))
            stack.callback(os.close, self._turnstile)
            self._lock = _open(database.with_name(f"{database.name}.lock"))
            stack.pop_all()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the turn and hold the lock meanwhile."""
        fcntl.flock(self._turnstile, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._turnstile)
        os.close(self._lock)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise DatabaseUnavailable(f"cannot open the lock file {path}: {error.strerror}") from error
