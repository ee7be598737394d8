"""A PostgreSQL database as the source and as the target of a move.

Triggers note the keys of rows that change. While rows arrive the foreign keys are away and the triggers that keep sums
are off; both are in force again in the end, and the foreign keys are checked once more over all rows.
"""

# ruff: noqa: S608 - statements are put together of the names of our own tables and columns

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Final, TypeVar

from sqlalchemy import ForeignKeyConstraint, Table
from sqlalchemy.schema import AddConstraint

from entrepot.metadata import event_months
from entrepot.metadata.database import Row
from entrepot.metadata.engine.ddl import written
from entrepot.metadata.engine.postgres_connect import WORK, Connection, Connector
from entrepot.metadata.engine.postgres_errors import Conflict, translated
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.metadata.move.sides import (
    CHANGES,
    MOVED,
    STATE,
    TABLES,
    Arrival,
    Change,
    Key,
    MoveFailed,
    Numbers,
    columns_of,
    key_columns,
)
from entrepot.metadata.move_mark import ARRIVING, LEFT
from entrepot.metadata.tables import sums

T = TypeVar("T")

_ID: Final = "id"
_MAKE_STATE: Final = f"CREATE TABLE IF NOT EXISTS {STATE} (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
_PUT_STATE: Final = (
    f"INSERT INTO {STATE} (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_READ_ONLY: Final = "INSERT INTO settings VALUES ('readonly', 'on') ON CONFLICT (key) DO UPDATE SET value = 'on'"
#: Nobody waits for a table for longer: behind who waits, all others would.
_LOCK_TIMEOUT: Final = "SET lock_timeout = '5s'"


#: Tries to be alone with the tables, each with that patience at most.
_ATTEMPTS: Final = 10


async def connect(url: str) -> Connection:
    """Connect for a move.

    Raises:
        DatabaseUnavailable: Nobody answers there, or refuses.
    """
    connection = await Connector(url, seconds=WORK.connect).connect()
    with translated():
        await connection.execute(f"SET default_transaction_read_only = off; {_LOCK_TIMEOUT}")
    return connection


class _Rows:
    """Reads rows through a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def page(self, table: Table, after: Key | None, limit: int) -> list[Row]:
        names = key_columns(table)
        keys, marks = ", ".join(names), ", ".join(f"${number + 1}" for number in range(len(names)))
        where = f"WHERE ({keys}) > ({marks}) " if after else ""
        text = f"SELECT {_columns(table)} FROM {table.name} {where}ORDER BY {keys} LIMIT {limit}"
        with translated():
            return [tuple(row) for row in await self._connection.fetch(text, *(after or ()))]

    async def find(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row]:
        text = f"SELECT {_columns(table)} FROM {table.name} WHERE {_where(table)}"
        found = {}
        with translated():
            statement = await self._connection.prepare(text)
            for key in keys:
                row = await statement.fetchrow(*key)
                if row is not None:
                    found[key] = tuple(row)
        return found

    async def count(self, table: Table) -> int:
        with translated():
            return int(await self._connection.fetchval(f"SELECT count(*) FROM {table.name}"))

    async def changes(self, limit: int) -> list[Change]:
        text = f"SELECT id, name, key FROM {CHANGES} ORDER BY id LIMIT $1"
        with translated():
            rows = await self._connection.fetch(text, min(limit, 2**62))
        return [Change(number, name, tuple(json.loads(key))) for number, name, key in rows]

    async def numbers(self) -> Numbers:
        sequences = {}
        with translated():
            for table in filter(_is_numbered, TABLES):
                name = await self._connection.fetchval("SELECT pg_get_serial_sequence($1, 'id')", table.name)
                last, called = await self._connection.fetchrow(f"SELECT last_value, is_called FROM {name}")
                sequences[table.name] = last if called else last - 1
            rows = await self._connection.fetch(
                "SELECT name, CAST(sum(value) AS bigint), min(through) FROM sums GROUP BY name"
            )
        return Numbers(sequences=sequences, sums={name: (value, through) for name, value, through in rows})

    async def work(self, table: Table) -> list[Row]:
        with translated():
            return [tuple(row) for row in await self._connection.fetch(f"SELECT {_columns(table)} FROM {_full(table)}")]


class _Held(_Rows):
    """Reads within a transaction that keeps all others from writing."""

    async def leave(self, to: str) -> None:
        with translated():
            await self._connection.execute(_READ_ONLY)
            # What notes changes stays until the move is forgotten: to drop it, readers would have to wait too.
            await self._connection.execute(
                "CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" RAISE EXCEPTION '{MOVED}' USING ERRCODE = '58000'; END $$"
            )
            for table in TABLES:
                await self._connection.execute(
                    f"CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE ON {table.name}"
                    " FOR EACH ROW EXECUTE FUNCTION moved()"
                )
            await self._connection.execute(_PUT_STATE, LEFT, to)


class PostgresSource:
    """A database that is left; `Source` says what the methods do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def begin(self) -> str:
        return await _patiently(self._begin)

    async def _begin(self) -> str:
        with translated():
            async with self._connection.transaction():
                await self._connection.execute(_MAKE_STATE)
                state = dict(await self._connection.fetch(f"SELECT name, value FROM {STATE}"))
                if _ID not in state:
                    await self._connection.execute(_start_noting())
                    state[_ID] = secrets.token_hex(16)
                    await self._connection.execute(_PUT_STATE, _ID, state[_ID])
                return str(state[_ID])

    async def left_to(self) -> str | None:
        with translated():
            found = await self._connection.fetchval(f"SELECT value FROM {STATE} WHERE name = $1", LEFT)
        return None if found is None else str(found)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[_Rows]:
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            yield _Rows(self._connection)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[_Held]:
        await _patiently(self._begin_alone)
        try:
            yield _Held(self._connection)
        except BaseException:
            with suppress(DatabaseUnavailable), translated():
                await self._connection.execute("ROLLBACK")
            raise
        with translated():
            await self._connection.execute("COMMIT")

    async def _begin_alone(self) -> None:
        """Begin a transaction that keeps all others from writing."""
        names = ", ".join(table.name for table in (*TABLES, sums))
        try:
            with translated():
                await self._connection.execute(f"BEGIN; LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")
        except Conflict:
            with translated():
                await self._connection.execute("ROLLBACK")
            raise

    async def forget(self, changes: Sequence[Change]) -> None:
        if changes:
            numbers = [change.id for change in changes]  # a lower number may still be on its way
            with translated():
                await self._connection.execute(f"DELETE FROM {CHANGES} WHERE id = ANY ($1::bigint[])", numbers)

    async def give_up(self) -> None:
        await _patiently(self._give_up)

    async def _give_up(self) -> None:
        with translated():
            async with self._connection.transaction():
                there = await self._connection.fetchval("SELECT to_regclass($1)", STATE)
                left = there and await self._connection.fetchval(f"SELECT 1 FROM {STATE} WHERE name = $1", LEFT)
                await self._connection.execute(_stop_noting())
                await self._connection.execute("DROP FUNCTION IF EXISTS moved() CASCADE")
                await self._connection.execute(f"DROP TABLE IF EXISTS {STATE}")
                if left:
                    await self._connection.execute("DELETE FROM settings WHERE key = 'readonly'")


class PostgresTarget(_Rows):
    """A database that is moved to, which no server uses yet; `Target` says what the methods do."""

    async def begin(self, source: str, *, anew: bool = False) -> Arrival:
        with translated():
            async with self._connection.transaction():
                await self._connection.execute(_MAKE_STATE)
                state = dict(await self._connection.fetch(f"SELECT name, value FROM {STATE}"))
                if ARRIVING in state:
                    arrival = Arrival(**json.loads(state[ARRIVING]))
                    if arrival.source != source:
                        raise MoveFailed("another move has begun into this database; move into an empty one")
                    if arrival.is_ready:  # the source went on after all
                        arrival.is_ready = False
                        await self._let_rows_in()
                        await self._note(arrival)
                    if not anew:
                        return arrival
                    return await self._emptied(source)
                used = "SELECT 1 FROM projects UNION SELECT 1 FROM events UNION SELECT 1 FROM users"
                # What was left by an earlier move is stale, and may be filled again; another registry is left alone.
                if LEFT not in state and await self._connection.fetchval(used):
                    raise MoveFailed("there is a registry in this database already; move into an empty one")
                await self._connection.execute(f"{_stop_noting()}; DROP FUNCTION IF EXISTS moved() CASCADE")
                await self._connection.execute(f"DELETE FROM {STATE}")
                await self._let_rows_in()
                return await self._emptied(source)

    async def _emptied(self, source: str) -> Arrival:
        await self._connection.execute(f"TRUNCATE {', '.join(table.name for table in TABLES)}")
        arrival = Arrival(source=source)
        await self._note(arrival)
        return arrival

    async def make_months(self, first: int, last: int) -> None:
        with translated():
            names = await self._connection.fetch(event_months.LIST)
            for month in event_months.missing(event_months.named(row[0] for row in names), first, last):
                async with self._connection.transaction():
                    for text in month.statements():
                        await self._connection.execute(text)

    async def is_ready(self, source: str) -> bool:
        with translated():
            if await self._connection.fetchval("SELECT to_regclass($1)", STATE) is None:
                return False
            found = await self._connection.fetchval(f"SELECT value FROM {STATE} WHERE name = $1", ARRIVING)
        arrival = None if found is None else Arrival(**json.loads(found))
        return arrival is not None and arrival.source == source and arrival.is_ready

    async def _let_rows_in(self) -> None:
        """Take away what looks at rows as they come: in the end it is there again, and looks at all."""
        for table in TABLES:
            await self._connection.execute(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
        for table, constraint in _foreign_keys():
            await self._connection.execute(f"ALTER TABLE {table.name} DROP CONSTRAINT {constraint.name}")

    async def add(self, table: Table, rows: Sequence[Row], arrival: Arrival) -> None:
        with translated():
            async with self._connection.transaction():
                await self._insert(table, rows)
                await self._note(arrival)

    async def replace(self, rows: Mapping[Table, Mapping[Key, Row | None]]) -> None:
        with translated():
            async with self._connection.transaction():
                for table, some in rows.items():
                    await self._connection.executemany(f"DELETE FROM {table.name} WHERE {_where(table)}", list(some))
                    await self._insert(table, [row for row in some.values() if row is not None])

    async def complete(self, numbers: Numbers, work: Mapping[Table, Sequence[Row]], arrival: Arrival) -> None:
        with translated():
            async with self._connection.transaction():
                for table, rows in work.items():
                    await self._connection.execute(f"DELETE FROM {_full(table)}")
                    await self._insert(table, rows)
                for _table, constraint in _foreign_keys():
                    text = written(AddConstraint(constraint, isolate_from_table=False), POSTGRESQL)
                    await self._connection.execute(f"{text} NOT VALID")
                for table in TABLES:
                    await self._connection.execute(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")
                for name, number in numbers.sequences.items():
                    await self._connection.execute(
                        "SELECT setval(pg_get_serial_sequence($1, 'id'), $2, $3)", name, max(number, 1), number > 0
                    )
                for name, (value, through) in numbers.sums.items():
                    await self._connection.execute(
                        "UPDATE sums SET value = CASE part WHEN 0 THEN CAST($2 AS bigint) ELSE 0 END, through = $3"
                        " WHERE name = $1",
                        name,
                        value,
                        through,
                    )
                arrival.is_ready = True
                await self._note(arrival)

    async def open(self) -> None:
        with translated():
            for owner, constraint in _foreign_keys():
                await self._connection.execute(f"ALTER TABLE {owner.name} VALIDATE CONSTRAINT {constraint.name}")
            await self._connection.execute("ANALYZE")
            await self._connection.execute(f"DROP TABLE {STATE}")

    async def close(self) -> None:
        with translated():
            await self._connection.close(timeout=WORK.connect)

    async def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            await self._connection.copy_records_to_table(
                table.name, records=rows, columns=columns_of(table), schema_name=table.schema
            )

    async def _note(self, arrival: Arrival) -> None:
        await self._connection.execute(_PUT_STATE, ARRIVING, json.dumps(asdict(arrival)))


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Try again where others were in the way: whoever waits for us meanwhile is let go first."""
    for attempt in range(_ATTEMPTS):
        try:
            return await work()
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
        await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - against meeting the same one again
    raise AssertionError  # the loop returns or raises


def _start_noting() -> str:
    columns = "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL, key TEXT NOT NULL"
    parts = [f"CREATE TABLE {CHANGES} ({columns})"]
    for table in TABLES:
        old, new = (", ".join(f"{side}.{name}" for name in key_columns(table)) for side in ("OLD", "NEW"))
        parts.append(
            f"CREATE FUNCTION move_{table.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n"
            f"IF TG_OP <> 'INSERT' THEN INSERT INTO {CHANGES} (name, key)"
            f" VALUES ('{table.name}', CAST(jsonb_build_array({old}) AS text)); END IF;\n"
            f"IF TG_OP <> 'DELETE' THEN INSERT INTO {CHANGES} (name, key)"
            f" VALUES ('{table.name}', CAST(jsonb_build_array({new}) AS text)); END IF;\nRETURN NULL; END $$"
        )
        parts.append(
            f"CREATE TRIGGER move_{table.name} AFTER INSERT OR UPDATE OR DELETE ON {table.name}"
            f" FOR EACH ROW EXECUTE FUNCTION move_{table.name}()"
        )
    return ";\n".join(parts)


def _stop_noting() -> str:
    dropped = [f"DROP FUNCTION IF EXISTS move_{table.name}() CASCADE" for table in TABLES]
    return ";\n".join([*dropped, f"DROP TABLE IF EXISTS {CHANGES}"])


def _foreign_keys() -> list[tuple[Table, ForeignKeyConstraint]]:
    return [(table, constraint) for table in TABLES for constraint in table.foreign_key_constraints]


def _full(table: Table) -> str:
    return f"{table.schema}.{table.name}" if table.schema else table.name


def _columns(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in columns_of(table))


def _where(table: Table) -> str:
    return " AND ".join(f"{name} = ${number + 1}" for number, name in enumerate(key_columns(table)))


def _is_numbered(table: Table) -> bool:
    return any(column.identity is not None for column in table.columns)


def host_of(url: str) -> str:
    """Name a database for people, without its user and password."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - of this function alone

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
