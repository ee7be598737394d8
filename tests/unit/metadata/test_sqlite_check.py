"""What SQLite finds wrong with a file: all of it or a share, watched, and ended at once when that is asked for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.seed import insert_tags
from entrepot.metadata.engine.sqlite_check import find_damage
from entrepot.metadata.opening import METADATA_NAME
from entrepot.telemetry.progress import Stopped, Unwatched


class Watcher(Unwatched):
    """Counts looks, and ends the work at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.steps: list[int] = []
        self._last = last

    async def step(self, done: int, total: int | None = None) -> None:
        """Count."""
        self.steps.append(done)
        if len(self.steps) == self._last:
            raise Stopped


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the database of a repository of some tags."""
    insert_tags(tmp_path, 5_000)
    return tmp_path / "entrepot" / METADATA_NAME


def orphan(path: Path, *tags: int) -> None:
    """Let tags name a manifest that is not there."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.executemany("UPDATE tags SET manifest_id = 4711 WHERE id = ?", [(tag,) for tag in tags])


async def test_a_sound_database(path: Path) -> None:
    """Nothing is found in all of it, in a part and in none."""
    for sample in (1.0, 0.5, 0.0):
        assert await find_damage(path, Unwatched(), sample=sample) == []


async def test_a_share_of_the_rows(path: Path) -> None:
    """With nearly all of them looked at, what refers to nothing is found as by a look at all; with none, it is not."""
    orphan(path, 17, 4_017)
    whole = await find_damage(path, Unwatched())
    assert whole == [f"row {row} of tags refers to a row of manifests that is gone" for row in (17, 4_017)]
    assert await find_damage(path, Unwatched(), sample=0.999_999) == whole
    assert await find_damage(path, Unwatched(), sample=0.0) == []


async def test_it_is_watched_and_can_be_ended(path: Path) -> None:
    """SQLite counts, and stops in the middle of a statement."""
    watcher = Watcher()
    await find_damage(path, watcher)
    assert watcher.steps[-1] > 0
    with pytest.raises(Stopped):
        await find_damage(path, Watcher(last=1))
