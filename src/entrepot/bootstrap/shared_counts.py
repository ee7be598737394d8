"""Where the workers of all nodes add up what they count for limits: Redis where it is worth it, else the database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from entrepot.access.limits.counts import DatabaseCounts, SharedCounts
from entrepot.config import Config
from entrepot.metadata.database import Database
from entrepot.telemetry.instruments import Metrics


@contextlib.asynccontextmanager
async def shared_counts(config: Config, work: Database, metrics: Metrics) -> AsyncIterator[SharedCounts]:
    """Give the place, for the length of the block. A server that is away is no reason not to start.

    Raises:
        RedisMissing: The client library is not installed.
        OSError: A file of `redis.tls` cannot be read.
    """
    database = DatabaseCounts(work)
    if not config.shares_counts:
        yield database
        return
    from entrepot.adapters.shared.redis_client import open_redis  # noqa: PLC0415 - few have one
    from entrepot.adapters.shared.redis_counts import RedisCounts  # noqa: PLC0415 - as above

    asked = metrics.counter("entrepot_redis_exchanges", "Exchanges of counts with Redis.", ("result",))
    counts = RedisCounts(open_redis(config.redis), database, count=asked.inc)
    try:
        yield counts
    finally:
        await counts.close()
