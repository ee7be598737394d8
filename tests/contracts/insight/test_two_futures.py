"""The law of what a deletion would free, over registries of every kind, with what waits in trash and queue."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.insight.deletion_choice import Chosen, Part
from entrepot.metadata.contents import projects
from entrepot.metadata.tables import metadata as metadata_tables
from entrepot.metadata.usage import usage, usage_recount
from entrepot.metadata.work_tables import work_metadata as work_tables
from entrepot.oci.digest import Digest
from entrepot.oci.errors import RegistryError
from entrepot.oci.reference import parse_reference
from tests.contracts.insight.conftest import World, on_disk
from tests.contracts.registry.conftest import Kit, sqlite
from tests.support.databases import create_all
from tests.support.manifests import descriptor, entry, image, index

REPOSITORIES = ("one/a", "one/b", "two/a")
LAYERS = [bytes([65 + number]) * (10 + 7 * number) for number in range(5)]


@dataclass(frozen=True)
class Put:
    """An image, an index of what was pushed before, or something that refers to that."""

    repository: str
    kind: str
    layers: frozenset[int]
    others: frozenset[int]
    tag: str | None


@dataclass(frozen=True)
class Drop:
    """What is deleted: tags, manifests by their order, whole repositories or a project."""

    repository: str
    tags: frozenset[str]
    manifests: frozenset[int]
    how: str


TAGS = st.sampled_from(["x", "y", "z"])
PUTS = st.builds(
    Put,
    st.sampled_from(REPOSITORIES),
    st.sampled_from(["image", "image", "index", "referrer"]),
    st.frozensets(st.integers(0, len(LAYERS) - 1), min_size=1, max_size=3),
    st.frozensets(st.integers(0, 3), min_size=1, max_size=2),
    st.none() | TAGS,
)
DROPS = st.builds(
    Drop,
    st.sampled_from(REPOSITORIES),
    st.frozensets(TAGS, max_size=2),
    st.frozensets(st.integers(0, 4), max_size=3),
    st.sampled_from(["parts", "parts", "parts", "repository", "project"]),
)


@asynccontextmanager
async def new_world(folder: Path, trash_seconds: float) -> AsyncIterator[World]:
    """Make an empty registry."""
    folder.mkdir()
    async with sqlite(folder) as (metadata, work):
        await create_all(metadata, metadata_tables)
        await create_all(work, work_tables)
        yield World.of(Kit(metadata, work, MemoryBlobStore()), trash_seconds=trash_seconds)


class History:
    """Plays the same steps in any world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bodies: dict[str, list[bytes]] = {name: [] for name in REPOSITORIES}

    async def put(self, step: Put) -> None:
        """Push something; what cannot be pushed is not there."""
        pusher = self.world.pusher(step.repository)
        before = self.bodies[step.repository]
        chosen = [before[-1 - number] for number in sorted(step.others) if number < len(before)]
        if step.kind == "index" and chosen:
            body = index(*(entry(one) for one in chosen))
        else:
            layers = [LAYERS[number] for number in sorted(step.layers)]
            for content in (b"{}", *layers):
                await pusher.blob(content)
            more = {"subject": descriptor(chosen[0])} if step.kind == "referrer" and chosen else {}
            body = image(b"{}", *layers, **more)
        try:
            await pusher.manifest(body, step.tag)
        except RegistryError:
            return
        before.append(body)

    async def chosen(self, drop: Drop) -> Chosen | None:
        """Return what a step deletes, as far as it is there."""
        if not self.bodies[drop.repository]:
            return None
        try:
            repository = await self.world.registry.lookup.repository(self.world.pusher(drop.repository).name)
        except RegistryError:
            return None
        if drop.how == "repository":
            return Chosen(repositories=[repository])
        if drop.how == "project":
            return Chosen(projects=[await self.world.project(drop.repository.partition("/")[0])])
        bodies = self.bodies[drop.repository]
        digests = {str(Digest.of(bodies[number])) for number in drop.manifests if number < len(bodies)}
        present = [digest for digest in sorted(digests) if await self._has(drop.repository, digest)]
        tags = [tag for tag in sorted(drop.tags) if await self._has(drop.repository, tag)]
        return Chosen(parts=[Part(repository=repository, tags=tags, digests=present)])

    async def _has(self, repository: str, reference: str) -> bool:
        name = self.world.pusher(repository).name
        try:
            await self.world.registry.manifests.get(name, parse_reference(reference), content=False)
        except RegistryError:
            return False
        return True


#: Bytes of blobs, of manifests, and those that each project uses.
Bytes = tuple[int, int, dict[str, int]]


async def future(
    folder: Path, trash: float, puts: list[Put], earlier: Drop | None, drop: Drop | None
) -> tuple[Bytes, Bytes]:
    """Play a history to its end; return what the last deletion was told to free, and what is there in the end."""
    async with new_world(folder, trash) as world:
        history = History(world)
        for step in puts:
            await history.put(step)
        if earlier is not None and (chosen := await history.chosen(earlier)) is not None:
            await world.delete(chosen)
        told: Bytes = (0, 0, {})
        if drop is not None and (chosen := await history.chosen(drop)) is not None:
            answer = await world.would_free(chosen)
            less = {name: answer.projects[number].bytes for name, number in await numbers(world, answer.projects)}
            told = on_disk(answer).blob_bytes, on_disk(answer).manifest_bytes, less
            await world.delete(chosen)
        await world.finish()
        return told, (*await world.stored(), await used(world))


async def numbers(world: World, ids: Collection[int]) -> list[tuple[str, int]]:
    """Return the names of projects."""
    found = [(await projects.find_by_id(world.kit.metadata, row_id), row_id) for row_id in ids]
    return [(project.name, row_id) for project, row_id in found if project is not None]


async def used(world: World) -> dict[str, int]:
    """Return what each project uses, after looking whether that is true."""
    found = {}
    for name in {repository.partition("/")[0] for repository in REPOSITORIES}:
        project = await projects.find(world.kit.metadata, name)
        if project is not None:
            standing = await usage.find(world.kit.metadata, project.id)
            assert await usage_recount.wrong_sum(world.kit.metadata, project.id) is None
            found[name] = standing.bytes
    return found


def differ(puts: list[Put], earlier: Drop | None, drop: Drop, trash: float) -> None:
    """Compare two futures."""

    async def both() -> None:
        with tempfile.TemporaryDirectory() as folder:
            told, after = await future(Path(folder, "with"), trash, puts, earlier, drop)
            _, without = await future(Path(folder, "without"), trash, puts, earlier, None)
        assert told[:2] == (without[0] - after[0], without[1] - after[1])
        less = {name: before - after[2].get(name, 0) for name, before in without[2].items()}
        assert {name: count for name, count in told[2].items() if count} == {
            name: count for name, count in less.items() if count
        }

    asyncio.run(both())


HISTORIES = given(
    puts=st.lists(PUTS, min_size=2, max_size=7),
    earlier=st.none() | DROPS,
    drop=DROPS,
    trash=st.sampled_from([0.0, 3600.0]),
)
UNHURRIED = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@HISTORIES
@settings(max_examples=6, **UNHURRIED)
def test_two_futures_differ_by_what_was_told(puts: list[Put], earlier: Drop | None, drop: Drop, trash: float) -> None:
    """With the deletion and without it, trash and grace over in both."""
    differ(puts, earlier, drop, trash)


@pytest.mark.full
@HISTORIES
@settings(max_examples=150, **UNHURRIED)
def test_many_futures_differ_by_what_was_told(puts: list[Put], earlier: Drop | None, drop: Drop, trash: float) -> None:
    """The same, over many histories."""
    differ(puts, earlier, drop, trash)
