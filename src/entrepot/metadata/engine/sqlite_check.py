"""What SQLite itself finds wrong with a database file, all of it or a share of its rows."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from entrepot.metadata.engine.sqlite_connection import connect_reader
from entrepot.telemetry.progress import Progress

_MOST: Final = 100
#: Steps of SQLite's machine between two looks whether it should stop: a few milliseconds.
_STEPS: Final = 20_000
_LOOK_SECONDS: Final = 0.2
#: Values of a key that one statement of a sample covers, and rows where the key is a text.
_WINDOW: Final = 1_000
_DIGITS: Final = "0123456789abcdef"


async def find_damage(path: Path, progress: Progress, *, sample: float = 1.0) -> list[str]:
    """Read a database and say what is wrong with it.

    Args:
        path: Of the file.
        progress: Watches; counts what SQLite has done, in thousands of steps, and may end it.
        sample: Below 1, so large a share of the rows of each table is read with what they refer to, and no index.

    Raises:
        DatabaseUnavailable: The file cannot be opened.
        Stopped: Somebody asked for an end.
    """
    with closing(connect_reader(path)) as connection:
        look = _Look(connection, sample)
        looking = asyncio.ensure_future(asyncio.to_thread(look.run))
        try:
            while not looking.done():
                await asyncio.wait({looking}, timeout=_LOOK_SECONDS)
                await progress.step(look.steps)
            return looking.result()
        finally:
            look.stop = True
            await asyncio.wait({looking})


@dataclass(slots=True)
class _Look:
    """Reads in a thread."""

    connection: sqlite3.Connection
    sample: float
    stop: bool = False
    steps: int = 0
    _chance: random.Random = field(default_factory=random.Random)

    def run(self) -> list[str]:
        self.connection.set_progress_handler(self._step, _STEPS)
        try:
            return self._whole() if self.sample >= 1 else self._some()
        except sqlite3.DatabaseError as error:
            return [] if self.stop else [str(error)]

    def _step(self) -> bool:
        self.steps += _STEPS // 1_000
        return self.stop

    def _whole(self) -> list[str]:
        rows = self.connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
        damage = [str(row[0]) for row in rows if row[0] != "ok"]
        broken = self.connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST)
        return [*damage, *(_dangling(row, table, other) for table, row, other, _ in broken)]

    def _some(self) -> list[str]:
        listed = self.connection.execute(
            "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        ).fetchall()
        tables = [(name, keyed) for name, keyed in listed if not name.startswith("sqlite_")]
        return [problem for name, keyed in tables for problem in self._table(name, keyed=bool(keyed))][:_MOST]

    def _table(self, name: str, *, keyed: bool) -> Iterator[str]:
        columns = self.connection.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
        keys = sorted((pk, column, kind) for column, kind, pk in columns if pk)
        key, kind = (keys[0][1], keys[0][2]) if keyed and keys else ("rowid", "INTEGER")
        parents = self.connection.execute(
            'SELECT "table", "from", "to" FROM pragma_foreign_key_list(?)', (name,)
        ).fetchall()
        for low, high in self._windows(name, key) if kind == "INTEGER" else self._beginnings():
            rows = f'FROM "{name}" AS t WHERE t."{key}" >= ? AND t."{key}" < ?'
            for _ in self.connection.execute(f"SELECT t.* {rows} LIMIT {_WINDOW * 10}", (low, high)):
                pass
            for other, column, target in parents:
                gone = f'NOT EXISTS (SELECT 1 FROM "{other}" AS p WHERE p."{target}" = t."{column}")'  # noqa: S608
                lost = f'SELECT t."{key}" {rows} AND t."{column}" IS NOT NULL AND {gone} LIMIT {_MOST}'
                yield from (_dangling(row[0], name, other) for row in self.connection.execute(lost, (low, high)))

    def _windows(self, name: str, key: str) -> Iterator[tuple[int, int]]:
        row = self.connection.execute(f'SELECT min("{key}"), max("{key}") FROM "{name}"').fetchone()  # noqa: S608
        if row[0] is not None:
            for low in range(row[0], row[1] + 1, _WINDOW):
                if self._chance.random() < self.sample:
                    yield low, low + _WINDOW

    def _beginnings(self) -> Iterator[tuple[str, str]]:
        """Choose among the beginnings that digests have; names of settings are few and read whole."""
        yield "", "sha256:"
        yield "sha256;", "~"
        for algorithm in ("sha256", "sha512"):
            for first in (f"{algorithm}:{high}{low}" for high in _DIGITS for low in _DIGITS):
                if self._chance.random() < self.sample:
                    yield first, f"{first}~"


def _dangling(row: object, table: str, other: str) -> str:
    return f"row {row} of {table} refers to a row of {other} that is gone"
