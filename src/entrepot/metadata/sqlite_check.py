"""What SQLite itself finds wrong with a database file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from entrepot.metadata.sqlite_connection import connect_reader

_MOST = 100


def find_damage(path: Path) -> list[str]:
    """Read a whole database, its indexes too; return what is wrong with it. Blocks for as long as that takes.

    Raises:
        DatabaseUnavailable: The file cannot be opened.
    """
    with closing(connect_reader(path)) as connection:
        try:
            rows = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
            damage = [str(row[0]) for row in rows if row[0] != "ok"]
            broken = connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST)
        except sqlite3.DatabaseError as error:
            return [str(error)]
    dangling = (f"row {row} of {table} refers to a row of {other} that is gone" for table, row, other, _ in broken)
    return [*damage, *dangling]
