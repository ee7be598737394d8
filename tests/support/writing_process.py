"""A process that writes into a SQLite database as fast as it can: `writing_process.py DATABASE NAME SECONDS`.

It adds one ship per transaction, prints each one's number after the answer (so that what was printed was
acknowledged), and at the end, as JSON, how often it wrote and the longest it waited. With SECONDS 0 it goes on until
it is killed.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from sqlalchemy import bindparam

from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.query import Query
from entrepot.metadata.tables import settings

PUT = Query(lambda d: d.insert(settings).values(key=bindparam("key"), value=bindparam("value")))


async def main(path: str, name: str, seconds: float) -> None:
    """Write until the time is over."""
    database = SqliteDatabase(Path(path))
    started, waits = time.monotonic(), []
    while seconds == 0 or time.monotonic() - started < seconds:
        before = time.monotonic()
        key = f"{name}-{len(waits)}"
        await database.write(lambda tx, key=key: tx.execute(PUT, key=key, value=name))
        waits.append(time.monotonic() - before)
        print(key, flush=True)
    await database.close()
    print(json.dumps({"writes": len(waits), "worst": max(waits)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
