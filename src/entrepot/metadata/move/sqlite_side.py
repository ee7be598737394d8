"""A folder with SQLite files as the source and as the target of a move.

Triggers note the keys of rows that change. Foreign keys are not looked at while rows arrive, and the triggers that keep
sums are away meanwhile; both are there again in the end.
"""

# ruff: noqa: S608 - statements are put together of the names of our own tables and columns

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table

from entrepot.metadata.database import Row
from entrepot.metadata.engine.sqlite_connection import Durability, connect_reader, connect_writer, translated
from entrepot.metadata.engine.write_gate import WriteGate
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
from entrepot.metadata.opening import METADATA_NAME, WORK_NAME

_ID: Final = "id"
#: The row with the triggers that are away while the target is filled; and how the triggers of moves are called.
_TRIGGERS: Final = "triggers"
_OF_MOVES: Final = ("move_", "moved_")
_MAKE_STATE: Final = f"CREATE TABLE IF NOT EXISTS {STATE} (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"
_OPERATIONS: Final = {"INSERT": ("NEW",), "UPDATE": ("OLD", "NEW"), "DELETE": ("OLD",)}
_READ_ONLY: Final = "INSERT INTO settings VALUES ('readonly', 'on') ON CONFLICT DO UPDATE SET value = 'on'"


class _Rows:
    """Reads rows through a connection."""

    def __init__(self, connection: sqlite3.Connection, work: Path) -> None:
        self._connection = connection
        self._work = work

    async def page(self, table: Table, after: Key | None, limit: int) -> list[Row]:
        keys = ", ".join(key_columns(table))
        marks = ", ".join("?" * len(key_columns(table)))
        where = f"WHERE ({keys}) > ({marks}) " if after else ""
        text = f"SELECT {_columns(table)} FROM {table.name} {where}ORDER BY {keys} LIMIT {limit}"
        return self._connection.execute(text, after or ()).fetchall()

    async def find(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row]:
        text = f"SELECT {_columns(table)} FROM {table.name} WHERE {_where(table)}"
        found = ((key, self._connection.execute(text, key).fetchone()) for key in keys)
        return {key: row for key, row in found if row is not None}

    async def count(self, table: Table) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])

    async def changes(self, limit: int) -> list[Change]:
        text = f"SELECT id, name, key FROM {CHANGES} ORDER BY id LIMIT ?"
        return [
            Change(number, name, tuple(json.loads(key)))
            for number, name, key in self._connection.execute(text, (min(limit, 2**62),))
        ]

    async def numbers(self) -> Numbers:
        sequences = dict(self._connection.execute("SELECT name, seq FROM sqlite_sequence"))
        sums = self._connection.execute("SELECT name, sum(value), min(through) FROM sums GROUP BY name")
        return Numbers(
            sequences={table.name: sequences.get(table.name, 0) for table in TABLES if _is_numbered(table)},
            sums={name: (value, through) for name, value, through in sums},
        )

    async def work(self, table: Table) -> list[Row]:
        with closing(connect_reader(self._work)) as connection:
            return connection.execute(f"SELECT {_columns(table)} FROM {table.name}").fetchall()


class _Held(_Rows):
    """Reads within the one write transaction that there is."""

    async def leave(self, to: str) -> None:
        run = self._connection.execute
        run(_READ_ONLY)
        _stop_noting(self._connection)
        for table in TABLES:
            for operation in _OPERATIONS:
                run(
                    f"CREATE TRIGGER moved_{table.name}_{operation.lower()} BEFORE {operation} ON {table.name}"
                    f" BEGIN SELECT RAISE(ABORT, '{MOVED}'); END"
                )
        run(f"INSERT OR REPLACE INTO {STATE} VALUES (?, ?)", (LEFT, to))


class SqliteSource:
    """A folder that is left; `Source` says what the methods do."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / METADATA_NAME
        self._work = folder / WORK_NAME

    async def begin(self) -> str:
        def note(connection: sqlite3.Connection) -> str:
            run = connection.execute
            run(_MAKE_STATE)
            state = dict(run(f"SELECT name, value FROM {STATE}"))
            if LEFT in state:
                return str(state[_ID])
            run(f"CREATE TABLE IF NOT EXISTS {CHANGES} (id INTEGER PRIMARY KEY, name TEXT, key TEXT) STRICT")
            for table in TABLES:
                for operation, sides in _OPERATIONS.items():
                    run(_noting(table, operation, sides))
            run(f"INSERT INTO {STATE} VALUES (?, ?) ON CONFLICT DO NOTHING", (_ID, secrets.token_hex(16)))
            return str(run(f"SELECT value FROM {STATE} WHERE name = ?", (_ID,)).fetchone()[0])

        return str(await self._write(note))

    async def left_to(self) -> str | None:
        with translated(self._path), closing(connect_reader(self._path)) as connection:
            row = connection.execute(f"SELECT value FROM {STATE} WHERE name = ?", (LEFT,)).fetchone()
            return None if row is None else str(row[0])

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[_Rows]:
        with translated(self._path), closing(connect_reader(self._path)) as connection:
            connection.execute("BEGIN").close()
            connection.execute("SELECT 1 FROM schema").fetchall()  # the moment is that of the first look
            yield _Rows(connection, self._work)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[_Held]:
        gate = WriteGate(self._path)
        lock = gate.held()
        await asyncio.to_thread(lock.__enter__)
        try:
            with translated(self._path), _transaction(self._path) as connection:
                yield _Held(connection, self._work)
        finally:
            lock.__exit__(None, None, None)
            gate.close()

    async def forget(self, changes: Sequence[Change]) -> None:
        if changes:
            last = changes[-1].id  # one writer at a time: what has a lower number was committed before
            await self._write(lambda connection: connection.execute(f"DELETE FROM {CHANGES} WHERE id <= ?", (last,)))

    async def give_up(self) -> None:
        def undo(connection: sqlite3.Connection) -> None:
            connection.execute(_MAKE_STATE)
            was_left = connection.execute(f"SELECT 1 FROM {STATE} WHERE name = ?", (LEFT,)).fetchone() is not None
            _stop_noting(connection)
            for (name,) in connection.execute(_triggers("moved")).fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute(f"DROP TABLE IF EXISTS {STATE}")
            if was_left:
                connection.execute("DELETE FROM settings WHERE key = 'readonly'")

        await self._write(undo)

    async def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Write in the turn of this process, beside a server that is not to notice."""

        def run() -> Any:
            gate = WriteGate(self._path)
            try:
                with gate.held(), translated(self._path), _transaction(self._path) as connection:
                    return work(connection)
            finally:
                gate.close()

        return await asyncio.to_thread(run)


class SqliteTarget(_Rows):
    """A folder that is moved to, which no server uses yet; `Target` says what the methods do."""

    def __init__(self, folder: Path) -> None:
        """Open it; its tables are there."""
        connection = connect_writer(folder / METADATA_NAME, Durability.FULL)
        super().__init__(connection, folder / WORK_NAME)
        connection.execute("PRAGMA foreign_keys = OFF").close()

    async def begin(self, source: str, *, anew: bool = False) -> Arrival:
        with _within(self._connection) as run:
            run(_MAKE_STATE)
            state = dict(run(f"SELECT name, value FROM {STATE}"))
            if ARRIVING in state:
                arrival = Arrival(**json.loads(state[ARRIVING]))
                if arrival.source != source:
                    raise MoveFailed("another move has begun into this folder; move into an empty one")
                if arrival.is_ready:  # the source went on after all
                    arrival.is_ready = False
                    _put_triggers_away(run)
                    self._note(run, arrival)
                return self._emptied(run, source) if anew else arrival
            # What was left by an earlier move is stale, and may be filled again; another registry is left alone.
            if (
                LEFT not in state
                and run("SELECT 1 FROM projects UNION SELECT 1 FROM events UNION SELECT 1 FROM users").fetchone()
            ):
                raise MoveFailed("there is a registry in this folder already; move into an empty one")
            run(f"DELETE FROM {STATE}")
            _put_triggers_away(run)
            return self._emptied(run, source)

    def _emptied(self, run: Callable[..., sqlite3.Cursor], source: str) -> Arrival:
        for table in reversed(TABLES):
            run(f"DELETE FROM {table.name}")
        arrival = Arrival(source=source)
        self._note(run, arrival)
        return arrival

    async def make_months(self, first: int, last: int) -> None:
        """Do nothing: events lie in one table."""

    async def is_ready(self, source: str) -> bool:
        run = self._connection.execute
        if not run("SELECT 1 FROM sqlite_schema WHERE name = ?", (STATE,)).fetchone():
            return False
        row = run(f"SELECT value FROM {STATE} WHERE name = ?", (ARRIVING,)).fetchone()
        arrival = None if row is None else Arrival(**json.loads(row[0]))
        return arrival is not None and arrival.source == source and arrival.is_ready

    async def add(self, table: Table, rows: Sequence[Row], arrival: Arrival) -> None:
        def write() -> None:
            with _within(self._connection) as run:
                self._insert(self._connection, table, rows)
                self._note(run, arrival)

        await asyncio.to_thread(write)  # a slow disk may not keep a process from saying that it lives

    async def replace(self, rows: Mapping[Table, Mapping[Key, Row | None]]) -> None:
        with _within(self._connection):
            for table, some in rows.items():
                self._connection.executemany(f"DELETE FROM {table.name} WHERE {_where(table)}", list(some))
                self._insert(self._connection, table, [row for row in some.values() if row is not None])

    async def complete(self, numbers: Numbers, work: Mapping[Table, Sequence[Row]], arrival: Arrival) -> None:
        await asyncio.to_thread(self._complete, numbers, work, arrival)

    def _complete(self, numbers: Numbers, work: Mapping[Table, Sequence[Row]], arrival: Arrival) -> None:
        if work:
            with closing(connect_writer(self._work, Durability.NORMAL)) as other, _within(other) as run:
                for table, rows in work.items():
                    run(f"DELETE FROM {table.name}")
                    self._insert(other, table, rows)
        with _within(self._connection) as run:
            broken = run("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise MoveFailed(f"a row of {broken[0]} refers to one of {broken[2]} that is not there")
            for name, number in numbers.sequences.items():
                run("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
                run("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, number))
            for name, (value, through) in numbers.sums.items():
                run("UPDATE sums SET value = ?, through = ? WHERE name = ?", (value, through, name))
            for text in json.loads(run(f"SELECT value FROM {STATE} WHERE name = ?", (_TRIGGERS,)).fetchone()[0]):
                run(text)
            arrival.is_ready = True
            self._note(run, arrival)

    async def open(self) -> None:
        with _within(self._connection) as run:
            run(f"DROP TABLE {STATE}")

    async def close(self) -> None:
        self._connection.close()

    @staticmethod
    def _insert(connection: sqlite3.Connection, table: Table, rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(f"INSERT INTO {table.name} ({_columns(table)}) VALUES ({marks})", rows)

    @staticmethod
    def _note(run: Callable[..., sqlite3.Cursor], arrival: Arrival) -> None:
        run(f"INSERT OR REPLACE INTO {STATE} VALUES (?, ?)", (ARRIVING, json.dumps(asdict(arrival))))


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """Write in one transaction; the caller holds the gate."""
    with closing(connect_writer(path, Durability.FULL)) as connection, _within(connection):
        yield connection


@contextmanager
def _within(connection: sqlite3.Connection) -> Iterator[Callable[..., sqlite3.Cursor]]:
    connection.execute("BEGIN IMMEDIATE").close()
    try:
        yield connection.execute
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT").close()


def _noting(table: Table, operation: str, sides: Sequence[str]) -> str:
    notes = []
    for side in sides:
        key = ", ".join(f"{side}.{name}" for name in key_columns(table))
        notes.append(f"INSERT INTO {CHANGES} (name, key) VALUES ('{table.name}', json_array({key}));")
    trigger = f"move_{table.name}_{operation.lower()}"
    return f"CREATE TRIGGER IF NOT EXISTS {trigger} AFTER {operation} ON {table.name} BEGIN {' '.join(notes)} END"


def _stop_noting(connection: sqlite3.Connection) -> None:
    for (name,) in connection.execute(_triggers("move")).fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(f"DROP TABLE IF EXISTS {CHANGES}")


def _put_triggers_away(run: Callable[..., sqlite3.Cursor]) -> None:
    """Drop all triggers, and keep the texts of those that belong to the schema."""
    kept = []
    for name, text in run("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name").fetchall():
        run(f"DROP TRIGGER {name}")
        if not name.startswith(_OF_MOVES):
            kept.append(text)
    run(f"INSERT OR REPLACE INTO {STATE} VALUES (?, ?)", (_TRIGGERS, json.dumps(kept)))


def _triggers(prefix: str) -> str:
    return f"SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB '{prefix}_*'"


def _columns(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in columns_of(table))


def _where(table: Table) -> str:
    return " AND ".join(f"{name} = ?" for name in key_columns(table))


def _is_numbered(table: Table) -> bool:
    return any(column.identity is not None for column in table.columns)
