"""Collect on a folder beside its running server and print what that took: `python -m benchmarks.collecting FOLDER`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from entrepot.bootstrap.collection import collection_of
from entrepot.bootstrap.deployment import deployment
from entrepot.config import load
from entrepot.lifecycle.collection.collector import Collector
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Unwatched


async def main(folder: Path) -> None:
    """Do one round; the time and the statements are the collector's alone."""
    # The files of a seed are new: with a short grace they count as files that have been there for long.
    config = load(None, {"REGISTRY_LIFECYCLE_GRACE": "1s"}, data=folder).config
    async with deployment(config, Metrics()) as parts:
        collector = Collector(collection_of(parts))
        await collector.work.require_open()  # which looks at the folder once in a process, as a server's has long done
        before, cpu, begun = parts.stores.metadata.statistics.statements, time.process_time(), time.monotonic()
        tally = await collector.run(Unwatched())
        took = {
            "seconds": time.monotonic() - begun,
            "cpu": time.process_time() - cpu,
            "statements": parts.stores.metadata.statistics.statements - before,
        }
        print(json.dumps({**took, "blobs": tally.blobs, "files": tally.files, "bytes": tally.freed_bytes}))


asyncio.run(main(Path(sys.argv[1])))
