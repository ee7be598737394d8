"""R20: an upgrade is killed with -9 at random moments, again and again; the next one goes on, and nothing is lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from entrepot.metadata import schema
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.migrations import script
from tests.migrations.released import VERSIONS

ENTREPOT = Path(sys.executable).parent / "entrepot"
#: So many tags and references that the upgrade takes a while.
ROWS = 60_000


async def make_version_2(folder: Path) -> Path:
    """Make the data folder of a registry of version 2."""
    path = folder / "entrepot/metadata.db"
    path.parent.mkdir(parents=True, mode=0o700)
    with closing(sqlite3.connect(path)) as database, database:
        for statement in script.statements(SQLITE, 0, 2):
            database.execute(statement)
    filled = SqliteDatabase(path)
    await VERSIONS[2](filled)
    await filled.close()
    with closing(sqlite3.connect(path)) as database, database:
        tags = ((1, f"t{number}", 1, 1, 1) for number in range(ROWS))
        database.executemany(
            "INSERT INTO tags (repository_id, name, manifest_id, created_at, updated_at) VALUES (?,?,?,?,?)", tags
        )
        references = ((2, number, 1, "layer") for number in range(10, ROWS))
        database.executemany("INSERT INTO manifest_blobs VALUES (?,?,?,?)", references)
    return path


def counts(path: Path) -> dict[str, int]:
    """Count the rows of what matters."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = ("tags", "manifests", "manifest_contents", "manifest_blobs", "blobs", "grants", "users", "events")
        return {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def version_of(path: Path) -> int:
    """Return the schema's version."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT version FROM schema").fetchone()[0])


def upgrade(folder: Path) -> subprocess.Popen[str]:
    """Begin an upgrade."""
    command = [str(ENTREPOT), "db", "upgrade", "--json", "--data", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
async def test_a_killed_upgrade_is_done_by_the_next(tmp_path: Path, kills: int) -> None:
    """After each kill the database is whole, of the old version or the new one, and has every row."""
    before = counts(await make_version_2(tmp_path / "old"))
    chance, seen = Random(20), []
    begun = time.monotonic()
    whole = shutil.copytree(tmp_path / "old", tmp_path / "whole")
    upgrade(whole).communicate(timeout=60)
    seconds = time.monotonic() - begun
    for attempt in range(kills):
        folder = shutil.copytree(tmp_path / "old", tmp_path / f"copy{attempt}")
        path = folder / "entrepot/metadata.db"
        killed = upgrade(folder)
        time.sleep(chance.uniform(0.4, 1.1) * seconds)
        killed.kill()
        killed.communicate(timeout=30)
        seen.append(version_of(path))
        assert counts(path) == before
        done = upgrade(folder)
        output, errors = done.communicate(timeout=60)
        assert done.returncode == 0, errors
        assert json.loads(output)["after"]["version"] == version_of(path) == schema.VERSION
        assert counts(path) == before
        shutil.rmtree(folder)
    print(f"{kills} kills in {time.monotonic() - begun:.0f} s found versions {sorted(seen)}")
    assert set(seen) <= {2, schema.VERSION}
