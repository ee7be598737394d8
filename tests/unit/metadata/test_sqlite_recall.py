"""Answers that are remembered until somebody commits: never a moment longer, whoever it is."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select

from entrepot.metadata import tables
from entrepot.metadata.engine import sqlite_row_cache
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.metadata.query import Query
from tests.support.notes import dropping, putting

_RECALLED = Query(
    select(tables.settings.c.value).where(tables.settings.c.key == bindparam("key")), "test.recalled", recalled=True
)
#: Counts upwards in one row, and says each number when it is committed.
_COUNTING = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for number in range(int(sys.argv[2])):
    connection.execute("UPDATE settings SET value = ? WHERE key = 'count'", (str(number),))
    print(number, flush=True)
    sys.stdin.readline()
"""


async def asked(database: SqliteDatabase, key: str) -> tuple[object, int]:
    """Ask for a value; return it with the number of statements that this took."""
    before = database.statistics.statements
    row = await database.one(_RECALLED, key=key)
    return None if row is None else row[0], database.statistics.statements - before


async def remembered(database: SqliteDatabase, key: str) -> object:
    """Ask for a value until it comes from memory."""
    for _ in range(3):
        value, _ = await asked(database, key)
    assert await asked(database, key) == (value, 0)
    return value


async def test_what_was_read_since_the_last_commit_is_not_asked_again(database: SqliteDatabase) -> None:
    """The same question takes no statement, another one does."""
    await database.write(putting("a", "1"))
    await database.write(putting("b", "2"))
    assert await remembered(database, "a") == "1"
    assert await asked(database, "b") == ("2", 1)


async def test_what_is_not_there_is_asked_each_time(database: SqliteDatabase) -> None:
    """Nobody can fill the memory with names that do not exist."""
    await database.write(putting("a", "1"))
    await remembered(database, "a")
    assert [await asked(database, "nothing") for _ in range(2)] == [(None, 1), (None, 1)]


async def test_a_commit_of_our_own_ends_the_memory(database: SqliteDatabase) -> None:
    """Also one that changed another row."""
    await database.write(putting("a", "1"))
    await remembered(database, "a")
    await database.write(putting("b", "2"))
    assert await asked(database, "a") == ("1", 1)
    await remembered(database, "a")
    await database.write(dropping("a"))
    assert await asked(database, "a") == (None, 1)


async def test_a_commit_of_another_process_is_seen_as_soon_as_it_is_made(database: SqliteDatabase) -> None:
    """Each time it says that it has committed a number, that number is what is read here."""
    await database.write(putting("count", "none"))
    await remembered(database, "count")
    command = [sys.executable, "-c", _COUNTING, str(database.path), "300"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        for line in process.stdout:
            assert await asked(database, "count") == (line.strip(), 1)
            await remembered(database, "count")
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0


@pytest.mark.parametrize("mode", ["PASSIVE", "RESTART", "TRUNCATE"])
async def test_a_log_that_begins_anew_changes_no_answer(database: SqliteDatabase, mode: str) -> None:
    """When the log was folded into the database, what is remembered is still right, and the next commit is seen."""
    await database.write(putting("a", "1"))
    await remembered(database, "a")
    other = sqlite3.connect(database.path, isolation_level=None)
    try:
        other.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
        assert await remembered(database, "a") == "1"
        other.execute("UPDATE settings SET value = '2' WHERE key = 'a'")
    finally:
        other.close()
    assert await asked(database, "a") == ("2", 1)


async def test_a_rollback_of_another_leaves_the_answer(database: SqliteDatabase) -> None:
    """What was never committed is never read."""
    await database.write(putting("a", "1"))
    other = sqlite3.connect(database.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE settings SET value = '2' WHERE key = 'a'")
        assert await remembered(database, "a") == "1"
        other.execute("ROLLBACK")
    finally:
        other.close()
    assert await remembered(database, "a") == "1"


async def test_the_memory_has_a_bound(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew when it is full."""
    monkeypatch.setattr(sqlite_row_cache, "_LIMIT", 2)
    for key in "abc":
        await database.write(putting(key, key))
    await remembered(database, "a")
    await remembered(database, "b")
    await remembered(database, "c")
    assert await asked(database, "a") == ("a", 1)


async def test_without_memory_maps_every_question_is_asked(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the system does not show them, nothing is remembered and everything works."""
    monkeypatch.setattr(sqlite_row_cache, "_MAPS", tmp_path / "none")
    await database.write(putting("a", "1"))
    assert [await asked(database, "a") for _ in range(4)] == [("1", 1)] * 4


async def test_a_closed_database_remembers_nothing(database: SqliteDatabase) -> None:
    """It fails as it would without a memory."""
    await database.write(putting("a", "1"))
    await remembered(database, "a")
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await database.one(_RECALLED, key="a")
