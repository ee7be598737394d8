"""Restoring and emptying are killed with -9 in the middle of their steps; whoever repeats them goes on to the end."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from benchmarks.seed import write_registry2_tree
from entrepot.bootstrap.deployment import deployment
from entrepot.config import load
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.instruments import Metrics
from tests.contracts.registry.pushing import ALICE, Pusher

ENTREPOT = Path(sys.executable).parent / "entrepot"
NAME = RepositoryName.parse("team0/app0")
#: Restored and removed by twenty in a transaction.
IMAGES = 200
_COUNT = """
    SELECT count(*) FROM manifests JOIN repositories ON repositories.id = manifests.repository_id
    WHERE ? IN ('', repositories.name)
"""


@pytest.fixture(scope="module")
def deleted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a large repository in the trash, whose name another one has now."""
    folder = tmp_path_factory.mktemp("deleted") / "data"
    write_registry2_tree(folder, repositories=1, tags=IMAGES)
    subprocess.run([ENTREPOT, "adopt", folder], check=True, capture_output=True, timeout=120)
    asyncio.run(replace(folder))
    return folder


async def replace(folder: Path) -> None:
    """Delete the repository, and push another of its name."""
    async with deployment(load(None, {}, data=folder).config, Metrics()) as parts:
        await parts.registry.repositories.delete(NAME, actor=ALICE)
        await Pusher(parts.registry, NAME).image("v1", b"another image")


def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Begin a command on a folder."""
    command = [ENTREPOT, *words, "--data", folder]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(folder: Path, *words: str) -> tuple[int, str]:
    """Run a command on a folder to its end."""
    process = begin(folder, *words)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


def count(folder: Path, repository: str = "") -> int:
    """Count the manifests of a repository, or all."""
    with closing(sqlite3.connect(folder / "entrepot/metadata.db")) as database:
        return int(database.execute(_COUNT, (repository,)).fetchone()[0])


def kill_when(process: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    """Kill a command as soon as it has come so far."""
    deadline = time.monotonic() + 60
    while process.poll() is None and not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.communicate(timeout=30)


def check(folder: Path) -> None:
    """Nothing is wrong, and nothing is in the trash; no server has written registry:2's files yet."""
    subprocess.run([ENTREPOT, "layout", "write", folder], check=True, capture_output=True, timeout=60)
    assert json.loads(finish(folder, "trash", "list", "--json")[1]) == []
    code, said = finish(folder, "doctor")
    assert code == 0, said


@pytest.mark.parametrize("kills", [1, pytest.param(40, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_a_killed_restoration_is_ended_by_the_next(deleted: Path, tmp_path: Path, kills: int) -> None:
    """Every image is in the one repository or the other at any moment, and in the end in the one that is there."""
    chance, cut = Random(3), 0
    for attempt in range(kills):
        folder = shutil.copytree(deleted, tmp_path / str(attempt))
        wanted = chance.randrange(2, IMAGES)
        kill_when(begin(folder, "trash", "restore", "1"), lambda: count(folder, NAME) >= wanted)  # noqa: B023
        cut += count(folder, NAME) < IMAGES + 1
        assert count(folder) == IMAGES + 1
        code, said = finish(folder, "trash", "restore", "1")
        assert code == 0 or "nothing of number 1 in the trash" in said, said
        assert count(folder, NAME) == IMAGES + 1
        check(folder)
    assert cut, "the kills came too late"


@pytest.mark.parametrize("kills", [1, pytest.param(40, marks=[pytest.mark.full, pytest.mark.timeout(1800)])])
def test_a_killed_emptying_is_ended_by_the_next(deleted: Path, tmp_path: Path, kills: int) -> None:
    """What was begun to go is gone in the end, and the image that nobody deleted stays."""
    chance, cut = Random(4), 0
    for attempt in range(kills):
        folder = shutil.copytree(deleted, tmp_path / str(attempt))
        left = chance.randrange(2, IMAGES)
        kill_when(begin(folder, "trash", "empty", "--yes"), lambda: count(folder) <= left)  # noqa: B023
        cut += count(folder) > 1
        code, said = finish(folder, "trash", "empty", "--yes")
        assert code == 0, said
        assert (count(folder), count(folder, NAME)) == (1, 1)
        check(folder)
    assert cut, "the kills came too late"
