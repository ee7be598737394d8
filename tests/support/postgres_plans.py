"""Asks PostgreSQL how it would run a statement, and what running it cost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData

from entrepot.metadata.database import Row
from entrepot.metadata.engine.postgres_connect import Connection
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.query import Query

#: Steps that find rows, and the condition by which they find them in an index.
_INDEXED = {"Index Scan": "Index Cond", "Index Only Scan": "Index Cond", "Bitmap Index Scan": "Index Cond"}


async def steps_without_key(connection: Connection, query: Query) -> list[str]:
    """Return the steps of a statement's plan that read a whole table or index."""
    text = query.compiled(POSTGRESQL).text
    statement = await connection.prepare(text)
    values = ", ".join("NULL" for _ in statement.get_parameters())
    await connection.execute(f"PREPARE asked AS {text}")
    try:
        explained = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked{f'({values})' if values else ''}")
    finally:
        await connection.execute("DEALLOCATE asked")
    return list(_whole(json.loads(explained)[0]["Plan"]))


def _whole(plan: Mapping[str, Any]) -> Iterator[str]:
    kind, name = plan["Node Type"], plan.get("Relation Name") or plan.get("Index Name", "")
    if kind == "Seq Scan" or (kind in _INDEXED and _INDEXED[kind] not in plan):
        yield f"{kind} {name}"
    for part in plan.get("Plans", ()):
        yield from _whole(part)


class CountingReader:
    """Asks a server, and counts the pages of tables and indexes that it looks at."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.pages = 0

    async def one(self, query: Query, **parameters: object) -> Row | None:
        """See `Reader`."""
        rows = await self.all(query, **parameters)
        return rows[0] if rows else None

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        """See `Reader`."""
        compiled = query.compiled(POSTGRESQL)
        values = compiled.positional(parameters)
        explained = await self._connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled.text}", *values)
        plan = json.loads(explained)[0]["Plan"]
        self.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return [tuple(record) for record in await self._connection.fetch(compiled.text, *values)]

    async def now(self) -> int:
        """See `Reader`."""
        return int(await self._connection.fetchval("SELECT 0"))


async def copy_from_sqlite(connection: Connection, path: Path, tables: MetaData) -> None:
    """Fill empty tables of a server with the rows of a SQLite file, and let the server look at what it has."""
    await connection.execute("SET default_transaction_read_only = off; SET session_replication_role = replica")
    with closing(sqlite3.connect(path)) as source:
        for table in tables.sorted_tables:
            columns = [column.name for column in table.columns]
            await connection.execute(f"TRUNCATE {table.name} CASCADE")
            names = ", ".join(f'"{name}"' for name in columns)
            rows = source.execute(f"SELECT {names} FROM {table.name}")
            while some := rows.fetchmany(50_000):
                await connection.copy_records_to_table(table.name, records=some, columns=columns)
    await connection.execute("ANALYZE; SET session_replication_role = origin")
