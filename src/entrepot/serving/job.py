"""The job worker's process."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from entrepot.serving import entry
from entrepot.serving.worker_runtime import WorkerRuntime

if TYPE_CHECKING:
    from entrepot.serving.settings import Surroundings


def run_jobs(surroundings: Surroundings) -> None:
    """Run jobs until told to stop. This is the main function of the job worker's process."""
    runtime = WorkerRuntime(surroundings)
    try:
        asyncio.run(_run(surroundings, runtime))
    except Exception as error:
        runtime.failed(str(error) or type(error).__name__)
        raise


async def _run(surroundings: Surroundings, runtime: WorkerRuntime) -> None:
    target, config = entry.load(surroundings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with runtime.publishing(), target(config, runtime) as run_until:
        runtime.ready()
        await run_until(stop)
