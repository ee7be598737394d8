"""What is asked of a registry costs the same among sixty thousand images, or a million, as among ten thousand.

Counted are the steps of SQLite's machine, which are the same on every machine at every load. `make bench
SCENARIO=growth` measures processor time among a million.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import seed
from entrepot.metadata.contents import catalog, kept_sums, manifests, referrers, repository_lists, tags
from entrepot.metadata.contents.artifacts import Selection as Wanted
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader, Row
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.query import Query
from entrepot.projects.contents.artifacts import Artifacts, Window
from entrepot.projects.contents.model import With

SMALL = 10_000
LARGE = (60_000, pytest.param(1_000_000, marks=[pytest.mark.full, pytest.mark.timeout(900)]))
MOST = 1.5
FIRST = RepositoryRecord(1, 1, "p000/app0000", adopted=True)
A_TAG = "v0001000"


class Counting:
    """Asks a SQLite file, and counts the steps that its machine takes."""

    def __init__(self, path: Path) -> None:
        self.steps = 0
        self._connection = sqlite3.connect(path)
        self._connection.set_progress_handler(self._step, 1)

    def _step(self) -> int:
        self.steps += 1
        return 0

    async def one(self, query: Query, **parameters: object) -> Row | None:
        """See `Reader`."""
        compiled = query.compiled(SQLITE)
        found: Row | None = self._connection.execute(compiled.text, compiled.named(parameters)).fetchone()
        return found

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        """See `Reader`."""
        compiled = query.compiled(SQLITE)
        return self._connection.execute(compiled.text, compiled.named(parameters)).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


class Ids:
    """Tells nothing of artifacts but their row ids."""

    async def describe(self, ids: list[int], _told: With) -> list[int]:
        """Return them."""
        return ids


def artifacts(reader: Reader) -> Artifacts:
    """Give the lists of artifacts without what they tell."""
    describing: Any = Ids()
    return Artifacts(reader, describing)


def selection(**more: Any) -> Selection:
    """Choose a page of a hundred."""
    return Selection(limit=100, **more)


def named(text: str) -> Selection:
    """Choose by a part of the name."""
    return selection(conditions=(Condition(field="name", match=Match.CONTAINS, values=(text,)),))


QUESTIONS: dict[str, Callable[[Reader], Awaitable[object]]] = {
    "repositories": lambda r: repository_lists.every(r, selection(offset=200)),
    "repositories of a project": lambda r: repository_lists.of_project(r, 1, selection()),
    "repositories by a part of their name": lambda r: repository_lists.every(r, named("app00")),
    "how many artifacts a repository has": lambda r: repository_lists.find(r, 1),
    "latest artifacts": lambda r: artifacts(r).page(FIRST, Wanted(), Window(), With()),
    "first artifacts": lambda r: artifacts(r).page(FIRST, Wanted(), Window(newest_first=False), With()),
    "artifacts further on": lambda r: artifacts(r).page(FIRST, Wanted(), Window(offset=900, limit=100), With()),
    "the artifact of a tag": lambda r: artifacts(r).page(FIRST, Wanted(tag=A_TAG), Window(), With()),
    "the artifact of a digest": lambda r: artifacts(r).page(FIRST, Wanted(digest=digest(7)), Window(), With()),
    "tagged artifacts": lambda r: artifacts(r).page(FIRST, Wanted(tagged=True), Window(), With()),
    "latest artifacts of a project": lambda r: artifacts(r).of_project(1, Wanted(), Window(), With()),
    "stored bytes": kept_sums.stored_bytes,
    "a page of the catalog": lambda r: catalog.names(r, limit=100, last="p050/app0550", projects=None),
    "a page of tags": lambda r: tags.page(r, FIRST.name, limit=100, last="v0000500"),
    "a manifest by its tag": lambda r: manifests.by_tag(r, FIRST.name, A_TAG),
    "referrers": lambda r: referrers.page(
        r, FIRST.name, digest(7), artifact_type=None, limit=100, last="", most_bytes=1
    ),
}


def digest(number: int) -> str:
    """Return the digest of a manifest."""
    return f"sha256:{number:064x}"


@pytest.fixture(scope="module", params=LARGE)
def readers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Counting, Counting]]:
    """Give a small and a large registry."""
    sizes = (SMALL, request.param)
    paths = [seed.empty(tmp_path_factory.mktemp(f"images-{count}")) for count in sizes]
    for path, count in zip(paths, sizes, strict=True):
        seed.insert_images(path, count)
    found = Counting(paths[0]), Counting(paths[1])
    yield found
    for each in found:
        each.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_costs_what_it_shows(readers: tuple[Counting, Counting], name: str) -> None:
    """Many times as many images, and no more than half as much again to do."""
    steps = []
    for reader in readers:
        before = reader.steps
        assert asyncio.run(_asked(reader, name))
        steps.append(reader.steps - before)
    assert steps[1] <= MOST * steps[0], steps


async def _asked(reader: Counting, name: str) -> object:
    return await QUESTIONS[name](reader)
