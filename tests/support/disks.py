"""Disks that watch, hinder or break the blob store: each is the real `Fs` with something added."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from entrepot.adapters.blobs.fs import Fs

#: Every call of `Fs`; `close` comes last in failing tests, where it really closes before it fails.
CALLS = tuple(name for name in vars(Fs) if not name.startswith("_"))


class HookedFs(Fs):
    """A disk that tells a hook of every call before it is made."""

    def __init__(self, hook: Callable[[str, tuple[Any, ...]], None]) -> None:
        """Tell `hook` the name and the arguments."""
        super().__init__()
        self._hook = hook

    def __getattribute__(self, name: str) -> Any:
        """Wrap the calls of `Fs`, those that `Fs` itself makes included."""
        value = super().__getattribute__(name)
        if name not in CALLS:
            return value

        def call(*arguments: Any) -> Any:
            self._hook(name, arguments)
            return value(*arguments)

        return call


class CountingFs(HookedFs):
    """A disk that counts its calls, and how often each byte of an upload was read back."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.calls: Counter[str] = Counter()
        self.read_back: Counter[tuple[str, int]] = Counter()
        super().__init__(self._count)

    def _count(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.calls[name] += 1

    def read(self, file: int, length: int, offset: int) -> bytes:
        """Read, and note each byte that came."""
        data = super().read(file, length, offset)
        path = str(Path(f"/proc/self/fd/{file}").readlink())
        if "/uploads/." not in path:
            self.read_back.update((path, offset + n) for n in range(len(data)))
        return data


class CachingFs(CountingFs):
    """A disk that counts, and writes nothing past the page cache."""

    def start_direct(self, file: int) -> bool:
        """Say that it cannot."""
        return False


class SlowFs(HookedFs):
    """A disk on which one kind of call waits until it is let go."""

    def __init__(self, name: str) -> None:
        """Hold up the calls named `name`."""
        self.reached = threading.Event()
        self.go = threading.Event()
        self._name = name
        super().__init__(self._wait)

    def _wait(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == self._name:
            self.reached.set()
            assert self.go.wait(30)


class FailingFs(HookedFs):
    """A disk on which exactly one call fails, once armed: the n-th."""

    def __init__(self) -> None:
        """Begin unarmed, counting nothing."""
        self.count = 0
        self.failed: str | None = None
        self._armed = False
        self._fail_at = 0
        self._error = 0
        super().__init__(self._maybe_fail)

    def arm(self, fail_at: int, error: int) -> None:
        """Let the n-th call from now on fail; 0 for none."""
        self.count, self.failed = 0, None
        self._armed, self._fail_at, self._error = True, fail_at, error

    def disarm(self) -> None:
        """Let everything work again."""
        self._armed = False

    def _maybe_fail(self, name: str, arguments: tuple[Any, ...]) -> None:
        # Hints that nobody waits for cannot fail; and sync_folder is the three calls it makes.
        if not self._armed or name in {"start_sync", "start_direct", "end_direct", "sync_folder"}:
            return
        self.count += 1
        if self.count != self._fail_at:
            return
        self.failed = name
        if name == "close":
            os.close(arguments[0])
        if name == "write" and self._error == errno.ENOSPC:
            file, parts, offset = arguments
            data = b"".join(parts)
            os.pwrite(file, data[: len(data) // 2], offset)
        raise OSError(self._error, os.strerror(self._error))


def open_files(folder: Path) -> list[str]:
    """List the files below a folder that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:  # the descriptor of this very listing
            continue
    return [path for path in found if path.startswith(str(folder))]
