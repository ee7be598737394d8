"""What a worker process has from its surroundings: metrics, logs, a voice to the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from entrepot.serving import notices
from entrepot.serving.heartbeats import BEAT_SECONDS
from entrepot.telemetry import logs
from entrepot.telemetry.access_log import AccessLog
from entrepot.telemetry.health_flag import DRAINING, HealthFlag
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.snapshots import MetricsSlot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from entrepot.serving.settings import Surroundings

_PUBLISH_SECONDS = 0.5


class WorkerRuntime:
    """Handed to the entry point of a worker."""

    def __init__(self, surroundings: Surroundings) -> None:
        logs.configure(surroundings.log)
        log = surroundings.log
        self._surroundings = surroundings
        self.node = surroundings.node  #: what this `serve` is called
        self.address = surroundings.address  #: where it listens; empty where it does not
        self.folder = surroundings.folder  #: private, in memory, shared by the processes of this `serve`
        self.metrics = Metrics()
        self.access_log = AccessLog(formatter=log.formatter, enabled=log.access_log, fields=log.fields)
        self.health = HealthFlag(surroundings.folder / "unhealthy.json")
        self.leaving = False  #: whether the registry is being stopped, though it still takes requests
        self._beating: asyncio.Task[None] | None = None
        self._slot = MetricsSlot(surroundings.folder / "metrics", surroundings.role, self.metrics)

    def ready(self) -> None:
        """Tell the supervisor that this worker serves, and from now on that its event loop runs."""
        self._send("ready")
        self._beating = asyncio.create_task(self._beat_forever())

    def failed(self, text: str) -> None:
        """Tell the supervisor why this worker cannot serve."""
        self._send("failed", text)

    def note(self, text: str) -> None:
        """Have the supervisor show a text to the person who started it."""
        self._send("note", text)

    async def problems(self) -> dict[str, str]:
        """Say what keeps the registry from serving, as the supervisor sees it, without details."""
        return self.health.problems()

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Publish metrics twice a second, and a last time at the end."""
        task = asyncio.create_task(self._publish_forever())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            if self._beating is not None:
                self._beating.cancel()
            self._slot.close()
            self.access_log.close()

    async def _publish_forever(self) -> None:
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            self.leaving = DRAINING in self.health.problems()
            self._slot.publish()

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._send("alive", within=0.0)  # the loop waits for nobody who does not listen

    def _send(self, kind: str, text: str = "", *, within: float = 1.0) -> None:
        own = self._surroundings
        notice = notices.Notice(kind=kind, role=own.role, generation=own.generation, pid=os.getpid(), text=text)
        notices.send(own.folder / "notices", notice, within=within)
