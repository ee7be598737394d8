"""The tables of work in progress, which programs of several versions use together."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Index, MetaData

from entrepot.metadata import work_shape
from entrepot.metadata.columns import key, keyed, number, words
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.query import RawQuery
from entrepot.metadata.work_tables import OLDEST_WORK_VERSION, WORK_VERSION

LEASE: Final = RawQuery("INSERT INTO leases (name, holder, expires_at) VALUES ('a', 'b', 1)")


@pytest.fixture
async def work(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    """Give the work tables of this program, with a lease."""
    database = SqliteDatabase(tmp_path / "work.db")
    await work_shape.complete(database)
    await database.write(lambda transaction: transaction.execute(LEASE))
    yield database
    await database.close()


def shape(path: Path) -> set[str]:
    """Say what there is."""
    with closing(sqlite3.connect(path)) as database:
        return {row[0] for row in database.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}


def change(path: Path, statement: str) -> int:
    """Change something as another program would; gives the mark."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(statement)
        return int(database.execute("PRAGMA user_version").fetchone()[0])


async def test_a_second_start_changes_nothing(work: SqliteDatabase, tmp_path: Path) -> None:
    """Where everything is there, nothing is written."""
    before = work.statistics.transactions
    await work_shape.complete(work)
    assert work.statistics.transactions == before
    assert change(tmp_path / "work.db", "") == WORK_VERSION


@pytest.mark.parametrize("mark", [OLDEST_WORK_VERSION, WORK_VERSION, WORK_VERSION + 1])
async def test_what_other_programs_work_with_is_kept(work: SqliteDatabase, tmp_path: Path, mark: int) -> None:
    """A table and an index that are missing are built; the others, what is in them, and the mark stay."""
    path, whole = tmp_path / "work.db", shape(tmp_path / "work.db")
    lacking = f"DROP TABLE password_verdicts; DROP INDEX ix_web_sessions_seen_at; PRAGMA user_version = {mark}"
    change(path, lacking + "; CREATE TABLE of_tomorrow (a)")
    await work_shape.complete(work)
    assert shape(path) == whole | {"CREATE TABLE of_tomorrow (a)"}
    assert await work.all(RawQuery("SELECT name FROM leases")) == [("a",)]
    assert change(path, "") == mark


async def test_columns_are_added_where_rows_can_do_without(
    work: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is nullable or has a default is added to the rows; another column makes the table a new one."""
    tomorrow = MetaData()
    keyed(
        "leases",
        tomorrow,
        key("name"),
        words("holder"),
        number("expires_at"),
        number("since", default=7),
        words("why", null=True),
        Index("ix_leases_since", "since"),
    )
    monkeypatch.setattr(work_shape, "work_metadata", tomorrow)
    await work_shape.complete(work)
    assert await work.all(RawQuery("SELECT holder, since, why FROM leases")) == [("b", 7, None)]
    assert any("ix_leases_since" in statement for statement in shape(tmp_path / "work.db"))
    other = MetaData()
    keyed("leases", other, key("name"), words("holder"), number("must"))
    monkeypatch.setattr(work_shape, "work_metadata", other)
    await work_shape.complete(work)
    assert await work.all(RawQuery("SELECT holder, must FROM leases")) == []


async def test_work_of_another_meaning_is_built_anew(work: SqliteDatabase, tmp_path: Path) -> None:
    """Tables of a program that none can run beside are emptied."""
    path, whole = tmp_path / "work.db", shape(tmp_path / "work.db")
    change(path, f"DROP TABLE web_sessions; PRAGMA user_version = {OLDEST_WORK_VERSION - 1}")
    await work_shape.complete(work)
    assert shape(path) == whole
    assert await work.all(RawQuery("SELECT name FROM leases")) == []
    assert change(path, "") == WORK_VERSION
