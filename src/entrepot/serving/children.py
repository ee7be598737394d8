"""The supervisor's view of its children: starting, watching, restarting with patience."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_LONGEST_PAUSE_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.25
#: A child that lived this long was well: its next death is a new story.
_WELL_SECONDS: Final = 60.0


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next start: longer after each death that follows soon."""

    deaths: int = 0

    def pause(self, lived_seconds: float) -> float:
        """Count a death and say how long to wait."""
        self.deaths = 1 if lived_seconds >= _WELL_SECONDS else self.deaths + 1
        if self.deaths == 1:
            return 0.0
        return float(min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (self.deaths - 2)))


class Process(Protocol):
    """A process of our own, whoever made it."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    def wait(self) -> int:
        """Wait for its end, and take its exit code."""
        ...


@dataclass(slots=True, kw_only=True)
class Child:
    """One child process, from its start to its end."""

    role: str
    generation: int
    process: Process
    started_at: float = field(default_factory=time.monotonic)
    ready: bool = False
    #: When it is killed although it has not finished; None while it should run.
    deadline: float | None = None
    pidfd: int = -1

    def __post_init__(self) -> None:
        self.pidfd = os.pidfd_open(self.process.pid)

    def lived(self) -> float:
        """Say for how long it has been running."""
        return time.monotonic() - self.started_at

    def stop(self, within: float) -> None:
        """Ask it to finish; it is killed when it takes longer than `within` seconds."""
        deadline = time.monotonic() + within
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)
        self.signal(signal.SIGTERM)

    def finish(self, within: float) -> None:
        """Ask it to finish, but not before it is ready: it would end without having done what is left to do."""
        if self.ready:
            self.stop(within)
        elif self.deadline is None:
            self.deadline = time.monotonic() + within

    def kill_if_late(self) -> bool:
        """Kill it when its time to finish is over."""
        if self.deadline is None or time.monotonic() < self.deadline:
            return False
        self.signal(signal.SIGKILL)
        return True

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs. A pidfd never means another process with the same number."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> int:
        """Take the exit code of a child that ended."""
        os.close(self.pidfd)
        return self.process.wait()


@dataclass(slots=True)
class Role:
    """A part that must always be played: what starts it, and when it may be started again."""

    name: str
    launch: Callable[[int], Process]
    backoff: Backoff = field(default_factory=Backoff)
    generations: int = 0
    #: When to start it again; None while it runs or should not.
    due: float | None = None
    #: Failures in a row without one process that became ready.
    failures: int = 0
    was_ready: bool = False

    def start(self) -> Child:
        """Start the next generation."""
        self.generations += 1
        self.due = None
        return Child(role=self.name, generation=self.generations, process=self.launch(self.generations))

    def ended(self, child: Child) -> float:
        """Plan the next start after a death; returns the pause."""
        pause = self.backoff.pause(child.lived())
        self.due = time.monotonic() + pause
        return pause


def bury_orphans(own: Collection[int]) -> None:
    """Take the exit codes of processes whose parents died and that fell to us (see `fork_server.adopt_orphans`).

    Our own children are left to whoever waits for them.
    """
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid not in own:
            os.waitpid(found.si_pid, 0)
