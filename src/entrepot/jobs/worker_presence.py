"""Shows that a worker is alive."""

from __future__ import annotations

import contextlib
import os
import socket
import time

from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.jobs import job_workers
from entrepot.metadata.jobs.job_workers import Worker


class Presence:
    """The worker's entry among those that are alive; nothing but what people see depends on it."""

    def __init__(self, work: Database, me: str, concurrency: int) -> None:
        host = socket.gethostname().replace(" ", "-") or "localhost"
        self._work = work
        self._worker = Worker(id=me, host=host, pid=os.getpid(), started_at=clock.now(), concurrency=concurrency)
        self._shown: float | None = None

    async def show(self) -> None:
        """Say that the worker is alive, if it is time to."""
        now = time.monotonic()
        if self._shown is not None and now - self._shown < job_workers.LEASE_SECONDS / 3:
            return
        with contextlib.suppress(DatabaseError):
            await self._work.write(lambda tx: job_workers.beat(tx, self._worker), name="show a worker")
        self._shown = now

    async def leave(self) -> None:
        """Say that it is gone."""
        with contextlib.suppress(DatabaseError):
            await self._work.write(lambda tx: job_workers.leave(tx, self._worker), name="show a worker")
