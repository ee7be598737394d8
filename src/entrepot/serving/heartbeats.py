"""Hears from the event loop of each worker, and replaces one that stands still.

A process that was stopped, or waits for something that never comes, does not end: the kernel goes on giving it
connections, and its clients wait. So every worker says again and again that its loop runs. Who has said nothing for
`SILENT_SECONDS` is killed, and started again as any other that dies; one of its role at a time, and the next when the
successor serves.

Where all of a role are silent, they may all wait for the same disk: to kill them would help nobody, and take away what
they have begun. So the disk is asked first, in a thread. While it gives no answer that is said, and nobody is replaced;
when it answers, all begin anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from entrepot.serving.notices import Notice

_log = logging.getLogger(__name__)

#: How often a worker says that it lives, and after how much silence it is replaced.
BEAT_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 20.0
#: A disk that is asked gives its answer within this time, or stands still.
_DISK_SECONDS: Final = 3.0
#: How long a successor may take to serve before the next silent worker is looked at.
_SUCCESSOR_SECONDS: Final = 30.0
#: More does not count as silence between two looks: who looked stood still as well, as on a machine that was suspended.
_LONGEST_LOOK_SECONDS: Final = 3.0


@dataclass(slots=True)
class _Worker:
    """One process that serves; the pidfd never means another one with the same number."""

    role: str
    generation: int
    pid: int
    pidfd: int
    silent: float = 0.0

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def lives(self) -> bool:
        try:
            signal.pidfd_send_signal(self.pidfd, 0)
        except ProcessLookupError:
            return False
        return True


class Heartbeats:
    """What is known of the workers that said that they serve."""

    def __init__(
        self, disk: DiskProbe, on_disk: Callable[[bool], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Know nobody yet; `on_disk` is told when the disk stops to answer (False), and when it answers again."""
        self._disk = disk
        self._on_disk = on_disk
        self._clock = clock
        self._looked_at = clock()
        self._workers: dict[int, _Worker] = {}
        self._replacing: dict[str, float] = {}
        self._disk_is_well = True

    def ready(self, notice: Notice) -> None:
        """Note that a worker serves: from now on it is listened for."""
        self._replacing.pop(notice.role, None)
        self._forget(notice.pid)
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(notice.pid)
            self._workers[notice.pid] = _Worker(notice.role, notice.generation, notice.pid, pidfd)

    def heard(self, pid: int) -> None:
        """Note that a worker's event loop runs. Who comes back shows that others of its role may, too."""
        worker = self._workers.get(pid)
        if worker is None:
            return
        if worker.silent >= SILENT_SECONDS:
            self._give_time(worker.role)
        worker.silent = 0.0

    def look(self, running: Callable[[str, int], bool]) -> list[str]:
        """Kill who has been silent for too long; returns the roles of those, to be counted.

        Args:
            running: Tells whether the processes of a role and generation are meant to go on.
        """
        now = self._clock()
        passed, self._looked_at = min(now - self._looked_at, _LONGEST_LOOK_SECONDS), now
        for worker in list(self._workers.values()):
            worker.silent += passed
            if not worker.lives() or not running(worker.role, worker.generation):
                self._forget(worker.pid)
        if not self._disk_is_well and not self._disk_answers():
            return []
        return [role for role in self._roles() if self._replace_one_of(role, now)]

    def close(self) -> None:
        """Forget all."""
        for pid in list(self._workers):
            self._forget(pid)

    def _roles(self) -> Iterable[str]:
        return sorted({worker.role for worker in self._workers.values()})

    def _replace_one_of(self, role: str, now: float) -> bool:
        workers = [worker for worker in self._workers.values() if worker.role == role]
        silent = [worker for worker in workers if worker.silent >= SILENT_SECONDS]
        if not silent or self._replacing.get(role, now) > now:
            return False
        if len(silent) == len(workers) and not self._disk_answers():
            return False
        worst = max(silent, key=lambda worker: worker.silent)
        _log.error(
            "a worker stands still and is replaced",
            extra={"role": role, "worker": worst.pid, "silent_seconds": round(worst.silent)},
        )
        worst.kill()
        self._replacing[role] = now + _SUCCESSOR_SECONDS
        return True

    def _disk_answers(self) -> bool:
        """Tell whether the workers have no reason in the disk to be silent; False as long as nobody knows."""
        answer = self._disk.ask()
        if answer is None or answer == self._disk_is_well:
            return bool(answer)
        self._disk_is_well = answer
        self._on_disk(answer)
        if answer:
            _log.warning("the storage answers again; workers that go on now are not replaced")
            self._give_time(*self._roles())
        else:
            _log.error("all workers stand still, and so does the storage; they go on when it answers")
        return False

    def _give_time(self, *roles: str) -> None:
        for worker in self._workers.values():
            if worker.role in roles:
                worker.silent = 0.0

    def _forget(self, pid: int) -> None:
        if (worker := self._workers.pop(pid, None)) is not None:
            os.close(worker.pidfd)


class DiskProbe:
    """Asks a folder's disk to write something, in a thread: such a call may never come back."""

    def __init__(self, folder: Path | None, within: float = _DISK_SECONDS) -> None:
        self._folder = folder
        self._within = within
        self._asked_at = 0.0
        self._thread: threading.Thread | None = None

    def ask(self) -> bool | None:
        """Tell whether it answers; None while that is not known. To be asked again after a moment."""
        if self._folder is None:
            return True
        if self._thread is None:
            self._asked_at = time.monotonic()
            self._thread = threading.Thread(target=_write, args=(self._folder,), name="disk", daemon=True)
            self._thread.start()
            self._thread.join(0.1)
        if not self._thread.is_alive():
            self._thread = None
            return True
        return False if time.monotonic() - self._asked_at > self._within else None


def _write(folder: Path) -> None:
    """Make the disk do something. That it refuses is an answer."""
    with contextlib.suppress(OSError):
        os.statvfs(folder)
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, b"?")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
