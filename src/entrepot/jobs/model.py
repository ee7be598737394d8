"""What a job is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

#: Does the work. A periodic job returns when it is done; a lasting one when `stop` is set.
Run = Callable[[asyncio.Event], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A piece of work that one process of all replicas does at a time."""

    name: str
    run: Run
    #: Seconds from the end of one run to the next; None for a job that lasts as long as the worker.
    interval: float | None = None
