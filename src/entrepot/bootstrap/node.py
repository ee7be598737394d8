"""This `serve` as one of the nodes of its registry."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from entrepot.config import Config
from entrepot.metadata.database import Database
from entrepot.serving.worker_runtime import WorkerRuntime
from entrepot.system.nodes import Presence
from entrepot.system.shared_folder import SharedFolder
from entrepot.telemetry.health_flag import DRAINING

_LOOK_SECONDS = 0.5
_TROUBLE = {"storage": "the storage does not work"}
_DRAINED = {"drained": "taken out of service by an operator"}


async def presence_of(config: Config, work: Database, runtime: WorkerRuntime) -> Presence:
    """Give what shows this node to the others, once it knows whether people have drained it.

    Raises:
        FolderNotShared: The nodes share a database, and this one has another folder.
        OSError: The folder takes no files.
    """
    presence = Presence(
        work,
        runtime.metrics,
        name=runtime.node,
        role=config.node.role,
        address=runtime.address,
        folder=runtime.folder,
        is_stopping=lambda: DRAINING in runtime.health.problems(),
        shared=SharedFolder(config.data, runtime.node) if config.on_server and config.has_folder else None,
    )
    await presence.require_folder()
    await presence.look()
    return presence


async def problems(runtime: WorkerRuntime, presence: Presence) -> Mapping[str, str]:
    """Say what keeps this node from serving, as its supervisor and people see it."""
    found = await runtime.problems()
    if presence.trouble:
        found = {**found, **_TROUBLE}
    return found or (_DRAINED if presence.drained else {})


async def while_in_service(
    stop: asyncio.Event, presence: Presence, work: Callable[[asyncio.Event], Awaitable[None]]
) -> None:
    """Do work that ends when its event is set, until `stop`, but not while people have drained this node."""
    while not stop.is_set():
        pause = asyncio.Event()
        watching = asyncio.ensure_future(_watch(stop, pause, presence))
        try:
            if not presence.drained:
                await work(pause)
            await _wait(stop, lambda: not presence.drained)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _watch(stop: asyncio.Event, pause: asyncio.Event, presence: Presence) -> None:
    await _wait(stop, lambda: presence.drained)
    pause.set()


async def _wait(stop: asyncio.Event, until: Callable[[], bool]) -> None:
    """Wait until something is so, or `stop` is set."""
    while not until() and not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
