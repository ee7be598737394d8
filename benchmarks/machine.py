"""How busy the machine was with other work than ours, and what makes a fresh one slow."""

from __future__ import annotations

import mmap
import os
import platform
import resource
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

#: Others may use so much of all processors before wall-clock figures are called noise.
_QUIET = 0.05
_TOUCHED_BYTES = 4 << 30


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _all_seconds() -> float:
    times = psutil.cpu_times()
    return _busy_seconds() + float(times.idle + times.iowait)


def _our_seconds() -> float:
    """Add up this process, its ended children and its living descendants."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@dataclass(slots=True)
class Watch:
    """Measures the share of all processors that others used between its making and `others()`."""

    busy: float = field(default_factory=_busy_seconds)
    ours: float = field(default_factory=_our_seconds)
    uptime: float = field(default_factory=_all_seconds)

    def others(self) -> float:
        """Return the share, from 0 to 1; what the hypervisor took away counts too."""
        passed = max(_all_seconds() - self.uptime, 0.01)
        used = (_busy_seconds() - self.busy) - (_our_seconds() - self.ours)
        return min(max(used / passed, 0.0), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine and its state at one moment."""

    processor: str
    cores: int
    kernel: str
    load: tuple[float, float, float]

    @classmethod
    def now(cls) -> Self:
        """Look at it."""
        return cls(processor=_processor(), cores=os.cpu_count() or 1, kernel=platform.release(), load=os.getloadavg())

    def __str__(self) -> str:
        load = " ".join(f"{value:.2f}" for value in self.load)
        return f"{self.cores} x {self.processor}, Linux {self.kernel}, load {load}"


def verdict(others: float) -> str:
    """Say what a share of others means for the figures."""
    if others <= _QUIET:
        return f"The machine was quiet: others used {others:.0%} of its processors."
    return (
        f"THE MACHINE WAS BUSY: others used {others:.0%} of its processors. Figures by the clock are noise then; "
        "the CPU column is steadier. Run it again when nothing else runs."
    )


def touch_memory() -> None:
    """Use much of the free memory once.

    A virtual machine gets its memory from the host at the first touch: until then a page of the page cache costs many
    times what it costs later, for whoever is measured first.
    """
    length = min(_TOUCHED_BYTES, psutil.virtual_memory().available // 3)
    with mmap.mmap(-1, length) as memory:
        for offset in range(0, length, mmap.PAGESIZE):
            memory[offset] = 1


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
