"""A job worker that is killed: `job_process.py FOLDER TRACE VERSION LEASE [SECONDS]`.

It runs jobs of the kind `probe`: eight steps that take SECONDS (0.05) each and add lines to the file TRACE:
`begin RUN STEP` and `end RUN STEP`. SIGTERM ends it in good order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path

from entrepot.jobs.dispatcher import Dispatcher
from entrepot.jobs.execution import RunTimes
from entrepot.jobs.model import JobKind
from entrepot.jobs.run import JobRun
from entrepot.metadata.opening import open_embedded
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.instruments import Metrics

STEPS = 8


class Probe:
    """The work of the kind."""

    def __init__(self, trace: Path, seconds: float) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seconds = seconds

    async def run(self, run: JobRun) -> int:
        """Do the steps; returns how many there are."""
        for number in range(STEPS):
            await run.once(f"step {number}", partial(self._step, run.id, number))
            await run.step(number + 1, STEPS)
        return STEPS

    async def _step(self, run: int, number: int) -> int:
        os.write(self._trace, f"begin {run} {number}\n".encode())
        await asyncio.sleep(self._seconds)
        os.write(self._trace, f"end {run} {number}\n".encode())
        return number


async def main(folder: Path, trace: Path, version: int, lease: float, seconds: float = 0.05) -> None:
    """Run jobs until told to stop."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    traits = JobTraits(name="probe", title="Try", version=version, parallel=4, attempts=100, pause=0.05)
    stores = await open_embedded(folder)
    try:
        times = RunTimes(lease=lease, poll=0.05, beat=0.05, ending=2.0)
        kind = JobKind(traits=traits, run=Probe(trace, seconds).run)
        print("ready", flush=True)
        await Dispatcher(stores.metadata, stores.work, [kind], Metrics(), times=times).run(stop)
    finally:
        await stores.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *map(float, sys.argv[4:])))
