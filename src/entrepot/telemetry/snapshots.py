"""How the processes of one `serve` share their metrics: one file per process slot, written once in a while.

A process takes the first slot of its role that nobody holds (a file lock, let go by the kernel when the process ends,
however it ends) and goes on counting from what the slot's last owner wrote. So counters survive a worker's death, the
number of files stays small, and a gauge counts only while its process lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.telemetry.instruments import Family

if TYPE_CHECKING:
    from entrepot.telemetry.instruments import Metrics

_MAX_SLOTS = 1024


class MetricsSlot:
    """The place where one process leaves its metrics. `publish` is called once in a while and at the end."""

    def __init__(self, folder: Path, role: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._folder = folder
        self._role = role
        self._take()
        metrics.restore(_read(self._file))

    def _take(self) -> None:
        self._lock, name = _take_slot(self._folder, self._role)
        self._file = self._folder / f"{name}.json"
        self._written: list[list[float]] | None = None

    def publish(self) -> None:
        """Write the present numbers, if they changed; where that cannot be, the next time.

        A folder that is full, or that somebody took away, costs numbers and no worker.
        """
        with contextlib.suppress(OSError):
            if not os.fstat(self._lock).st_nlink:  # the folder was made again: this slot of it is anybody's
                gone = self._lock
                self._take()
                os.close(gone)
            self._write()

    def _write(self) -> None:
        families = self._metrics.families()
        # Compared as numbers: to write them as text twice a second is most of what an idle process computes.
        numbers = [list(each) for family in families for each in family.series.values()]
        if numbers == self._written:
            return
        text = json.dumps([family.as_json() for family in families], separators=(",", ":"))
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(self._file)
        self._written = numbers

    def close(self) -> None:
        """Publish a last time and let go of the slot."""
        self.publish()
        os.close(self._lock)


def collect(folder: Path) -> list[Family]:
    """Add up what all processes published; gauges only of those that live."""
    total: dict[str, Family] = {}
    for file in sorted(folder.glob("*.json")):
        add_up(total, _read(file), with_gauges=_is_held(file.with_suffix(".lock")))
    return list(total.values())


def add_up(total: dict[str, Family], families: Iterable[Family], *, with_gauges: bool = True) -> None:
    """Add one process's families to a total."""
    for family in families:
        if family.kind == "gauge" and not with_gauges:
            continue
        if family.name in total:
            total[family.name].add(family)
        else:
            total[family.name] = family


def _take_slot(folder: Path, role: str) -> tuple[int, str]:
    for number in range(_MAX_SLOTS):
        name = f"{role}-{number}"
        descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return descriptor, name
    raise RuntimeError(f"More than {_MAX_SLOTS} processes share the metrics folder {folder}.")


def _is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(file: Path) -> list[Family]:
    try:
        return [Family.from_json(data) for data in json.loads(file.read_text(encoding="ascii"))]
    except (FileNotFoundError, ValueError, KeyError):
        return []
