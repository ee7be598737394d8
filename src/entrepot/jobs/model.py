"""What a job is: work that lasts as long as the worker, or comes again and again, and kinds whose runs people see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from entrepot.jobs.run import JobRun
from entrepot.metadata.engine.ballast import Reserve
from entrepot.system.jobs.traits import JobTraits

#: Does the work. A periodic job returns when it is done; a lasting one when `stop` is set.
Run = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A piece of work that one process of all replicas does at a time, and of which nobody asks what became of it."""

    name: str
    run: Run
    #: Seconds from the end of one run to the next; None for a job that lasts as long as the worker.
    interval: float | None = None
    #: What it may do with what is put aside for a full disk.
    reserve: Reserve = Reserve.KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """A kind of job whose runs are asked for, recorded and shown.

    `run` does one run and returns its result, which is kept as JSON. It may be begun again after it did a part, so it
    finds out from rows what is left, or does its parts within `JobRun.once`. It calls `step` often: only there it ends
    when somebody asks it to.
    """

    traits: JobTraits
    run: Callable[[JobRun], Awaitable[Any]]
    #: Whether there is something to do for it at all. While there is not, the configuration's schedule is not in force
    #: and the time of one that a person set passes without a run.
    applies: Callable[[], Awaitable[bool]] | None = None
    #: What it may do with what is put aside for a full disk.
    reserve: Reserve = Reserve.KEPT

    @property
    def name(self) -> str:
        """Return the name of the kind."""
        return self.traits.name
