"""Moving a registry's database to another while it is written to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.audit.chain_check import verify
from entrepot.audit.seals import Sealer
from entrepot.metadata import schema
from entrepot.metadata.contents import kept_sums, projects
from entrepot.metadata.database import Database, Row
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable
from entrepot.metadata.move import steps
from entrepot.metadata.move.postgres_side import PostgresSource, PostgresTarget, connect
from entrepot.metadata.move.sides import TABLES, MoveFailed, Source, Target, columns_of
from entrepot.metadata.move.sqlite_side import SqliteSource, SqliteTarget
from entrepot.metadata.move.steps import Moved, copy_at_once, move
from entrepot.metadata.move_mark import DatabaseMoved
from entrepot.metadata.opening import METADATA_NAME, Stores, open_embedded
from entrepot.metadata.opening_postgres import PostgresOptions, open_postgres, prepare
from entrepot.metadata.query import RawQuery
from entrepot.oci.reference import RepositoryName
from entrepot.registry.service import build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.registry.pushing import Pusher
from tests.migrations.released import VERSIONS
from tests.support.database_fixtures import postgres
from tests.support.postgres import PostgresServer

__all__ = ["postgres"]

APP = RepositoryName.parse("moving/app")


@dataclass(frozen=True, slots=True)
class Place:
    """A database that is moved from or to: a folder, or an address."""

    where: str

    @property
    def is_server(self) -> bool:
        return self.where.startswith("postgresql")

    async def open(self, *, moving: bool = False) -> Stores:
        if self.is_server:
            return await open_postgres(self.where, PostgresOptions(moving=moving))
        return await open_embedded(Path(self.where), moving=moving)

    async def fill(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put something into every table, as a released program did, and bring the schema up to date."""
        if self.is_server:
            database: Database = await PostgresDatabase.open(self.where)
        else:
            Path(self.where).mkdir()
            database = SqliteDatabase(Path(self.where) / METADATA_NAME)
        with monkeypatch.context() as earlier:
            earlier.setattr(schema, "VERSION", 4)
            await schema.upgrade(database)
        await VERSIONS[4](database)
        await database.close()
        await (await self.open()).close()

    @asynccontextmanager
    async def source(self) -> AsyncIterator[Source]:
        if not self.is_server:
            yield SqliteSource(Path(self.where))
            return
        connection = await connect(self.where)
        try:
            yield PostgresSource(connection)
        finally:
            await connection.close()

    @asynccontextmanager
    async def target(self) -> AsyncIterator[Target]:
        if self.is_server:
            await prepare(self.where)
            target: Target = PostgresTarget(await connect(self.where))
        else:
            await (await self.open(moving=True)).close()
            target = SqliteTarget(Path(self.where))
        try:
            yield target
        finally:
            await target.close()


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where."""

    source: Place
    target: Place

    async def move(self, progress: Any = None) -> Moved:
        async with self.source.source() as source, self.target.target() as target:
            return await move(source, target, "the new place", progress or Unwatched())


@pytest.fixture(params=["to postgresql", "to sqlite"])
def way(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresServer) -> Any:
    """Both ways, with small batches."""
    with postgres.database() as url:
        places = Place(str(tmp_path / "state")), Place(url)
        yield Way(*places) if request.param == "to postgresql" else Way(*reversed(places))


async def contents(stores: Stores) -> Mapping[str, list[Row]]:
    """Return every row that is moved."""
    found = {}
    for table in TABLES:
        names = ", ".join(f'"{name}"' for name in columns_of(table))
        rows = await stores.metadata.all(RawQuery(f"SELECT {names} FROM {table.name}"))
        found[table.name] = sorted(rows, key=repr)
    return found


def pusher(stores: Stores, blobs: MemoryBlobStore) -> Pusher:
    """Push to a registry over a database."""
    registry = build_registry(
        metadata=stores.metadata, work=stores.work, store=blobs, settings=RegistrySettings(delete_enabled=True)
    )
    return Pusher(registry, APP)


def without_switch(found: Mapping[str, list[Row]]) -> Mapping[str, list[Row]]:
    """Leave out the switch that a move sets where it leaves."""
    return {**found, "settings": [row for row in found["settings"] if row[0] != "readonly"]}


async def test_everything_arrives_and_the_source_is_left(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row with its id, sums and the audit chain; numbers go on; nothing writes to the source any more."""
    monkeypatch.setattr(steps, "BATCH", 3)
    await way.source.fill(monkeypatch)
    source, blobs = await way.source.open(), MemoryBlobStore()
    await pusher(source, blobs).image("before", b"pushed before")
    large = RawQuery("UPDATE blobs SET size = size + 5000000000 WHERE digest = (SELECT min(digest) FROM blobs)")
    await source.metadata.write(lambda tx: tx.execute(large))
    while not await source.metadata.write(kept_sums.add_blobs):
        pass
    unsealed = RawQuery("UPDATE events SET sequence = NULL, seal = NULL")
    await source.metadata.write(lambda tx: tx.execute(unsealed))
    await Sealer(source.metadata, lambda head: f"signed {head}").run_once()
    moved = await way.move()
    assert sum(moved.rows.values()) > 50
    assert set(moved.hashes) == set(moved.rows) == {table.name for table in TABLES}
    target = await way.target.open()
    assert await contents(target) == without_switch(await contents(source))
    assert await kept_sums.stored_bytes(target.metadata) == await kept_sums.stored_bytes(source.metadata)
    assert (await verify(target.metadata)) == await verify(source.metadata)
    await pusher(target, blobs).image("after", b"pushed after")
    assert await kept_sums.missing_bytes(target.metadata) == 0
    known = {row[0] for row in await source.metadata.all(RawQuery("SELECT id FROM projects"))}
    made = await target.metadata.write(lambda tx: projects.ensure(tx, "made-after"))
    assert made.id > max(known)
    with pytest.raises(DatabaseUnavailable, match="has moved"):
        await source.metadata.write(lambda tx: projects.ensure(tx, "too-late"))
    assert await projects.find(source.metadata, "library") is not None, "reading goes on"
    for stores in (source, target):
        await stores.close()
    with pytest.raises(DatabaseMoved, match=r"the new place.*--give-up"):
        await way.source.open()
    with pytest.raises(MoveFailed, match="already"):
        await way.move()
    async with way.source.source() as left:
        await left.give_up()
    again = await way.source.open()
    await again.metadata.write(lambda tx: projects.ensure(tx, "written-again"))
    await again.close()


async def test_the_way_back_goes_into_what_was_left(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that was left is stale and is filled again; what was written meanwhile is in it then."""
    await way.source.fill(monkeypatch)
    await way.move()
    between = await way.target.open()
    await between.metadata.write(lambda tx: projects.ensure(tx, "made-between"))
    await Way(way.target, way.source).move()
    again = await way.source.open()
    assert await contents(again) == without_switch(await contents(between))
    await again.metadata.write(lambda tx: projects.ensure(tx, "written-again"))
    for stores in (between, again):
        await stores.close()


async def test_what_is_written_meanwhile_arrives(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pushes, deletions and changed settings go on through the whole move; what was acknowledged is in the target."""
    monkeypatch.setattr(steps, "BATCH", 3)
    await way.source.fill(monkeypatch)
    source, blobs = await way.source.open(), MemoryBlobStore()
    acknowledged: list[str] = []

    async def push() -> None:
        pushing = pusher(source, blobs)
        for number in range(10_000):
            name = f"n{number}"
            await pushing.image(name, name.encode())
            acknowledged.append(name)
            if number % 3 == 2:
                await source.metadata.write(lambda tx: tx.execute(RawQuery("DELETE FROM tags WHERE name LIKE 'n%0'")))
            await asyncio.sleep(0.01)

    pushing = asyncio.create_task(push())
    while len(acknowledged) < 3 and not pushing.done():
        await asyncio.sleep(0.01)
    moved = await way.move()
    with pytest.raises(DatabaseError):
        await asyncio.wait_for(pushing, 20)
    assert moved.changed > 0
    assert moved.held_seconds < 5
    target = await way.target.open()
    assert await contents(target) == without_switch(await contents(source))
    assert len(acknowledged) > 4
    tags = {row[0] for row in await target.metadata.all(RawQuery("SELECT name FROM tags"))}
    lost = [name for name in acknowledged if name not in tags and not name.endswith("0")]
    assert lost == []
    for stores in (source, target):
        await stores.close()


class StopsAfter:
    """Progress that ends the work after some steps."""

    def __init__(self, steps_left: int) -> None:
        self.left = steps_left

    async def step(self, _done: int, _total: int | None = None) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped

    async def say(self, _message: str) -> None:
        return


@pytest.mark.parametrize("after", [1, 25, 70])
async def test_what_was_broken_off_goes_on(way: Way, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Copied rows stay; what changed, went and came meanwhile, by the same unique name too, is right in the end."""
    monkeypatch.setattr(steps, "BATCH", 3)
    await way.source.fill(monkeypatch)
    source, blobs = await way.source.open(), MemoryBlobStore()
    await pusher(source, blobs).image("first", b"first")
    with pytest.raises(Stopped):
        await way.move(StopsAfter(after))
    with pytest.raises(DatabaseMoved, match="has not come to its end"):
        await way.target.open()
    for text in (
        "DELETE FROM tags WHERE name = 'first'",
        "DELETE FROM settings WHERE key = (SELECT min(key) FROM settings)",
        "UPDATE projects SET name = 'renamed' WHERE id = (SELECT max(id) FROM projects)",
    ):
        await source.metadata.write(lambda tx, text=text: tx.execute(RawQuery(text)))
    await pusher(source, blobs).image("first", b"first, again")
    await way.move()
    target = await way.target.open()
    assert await contents(target) == without_switch(await contents(source))
    for stores in (source, target):
        await stores.close()


async def test_a_target_that_holds_something_is_left_alone(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry is not overwritten, nor a target that another move has begun to fill; the source goes on."""
    await way.source.fill(monkeypatch)
    other = await way.target.open()
    await other.metadata.write(lambda tx: projects.ensure(tx, "somebody-elses"))
    await other.close()
    with pytest.raises(MoveFailed, match="there is a registry in this"):
        await way.move()
    source = await way.source.open()
    await source.metadata.write(lambda tx: projects.ensure(tx, "goes-on"))
    await source.close()


async def test_a_row_that_differs_ends_the_move(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, nothing is switched over, and the source stays in use."""
    await way.source.fill(monkeypatch)
    async with way.source.source() as source, way.target.target() as target:
        spoil: Callable[[], Any] = target.count
        real = target.begin

        async def begin(identity: str) -> Any:
            arrival = await real(identity)
            monkeypatch.setattr(target, "page", _spoiled(target.page))
            return arrival

        assert spoil
        monkeypatch.setattr(target, "begin", begin)
        with pytest.raises(MoveFailed, match="is not the same on both sides"):
            await move(source, target, "the new place", Unwatched())
    stores = await way.source.open()
    await stores.metadata.write(lambda tx: projects.ensure(tx, "goes-on"))
    await stores.close()


def _spoiled(page: Any) -> Any:
    async def spoiled(table: Any, after: Any, limit: int) -> list[Row]:
        rows = await page(table, after, limit)
        return [(*row[:-1], "changed") for row in rows] if table.name == "settings" else rows

    return spoiled


class _StopsLate:
    """Stops a copy when most of it is there."""

    async def step(self, done: int, total: int | None = None) -> None:
        if total and done * 4 > total * 3:
            raise Stopped

    async def say(self, text: str) -> None:
        """Say nothing."""


async def test_a_copy_of_one_moment(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a backup takes it: rows, sums and seals of the moment, begun again after a stop; the source learns nothing."""
    monkeypatch.setattr(steps, "BATCH", 3)
    await way.source.fill(monkeypatch)
    source, blobs = await way.source.open(), MemoryBlobStore()
    await pusher(source, blobs).image("before", b"pushed before")
    while not await source.metadata.write(kept_sums.add_blobs):
        pass
    unsealed = RawQuery("UPDATE events SET sequence = NULL, seal = NULL")
    await source.metadata.write(lambda tx: tx.execute(unsealed))
    await Sealer(source.metadata, lambda head: f"signed {head}").run_once()
    wanted, stored, seals = (
        await contents(source),
        await kept_sums.stored_bytes(source.metadata),
        await verify(source.metadata),
    )
    async with way.source.source() as leaving, leaving.snapshot() as moment:
        await moment.count(TABLES[0])
        await pusher(source, blobs).image("after", b"pushed after")
        async with way.target.target() as target:
            with pytest.raises(Stopped):
                await copy_at_once(moment, target, "a copy", _StopsLate())
        with pytest.raises(DatabaseMoved, match="has not come to its end"):
            await way.target.open()
        async with way.target.target() as target:
            with pytest.raises(MoveFailed, match="another move"):
                await copy_at_once(moment, target, "another copy", Unwatched())
            await copy_at_once(moment, target, "a copy", Unwatched())
    target_stores = await way.target.open()
    assert await contents(target_stores) == wanted
    assert await kept_sums.stored_bytes(target_stores.metadata) == stored
    assert await verify(target_stores.metadata) == seals
    await pusher(target_stores, blobs).image("new", b"pushed there")
    await pusher(source, blobs).image("too", b"and here")
    for stores in (source, target_stores):
        await stores.close()
    async with way.target.target() as target:
        with pytest.raises(MoveFailed, match="there is a registry"):
            await target.begin("a copy", anew=True)


async def test_a_copy_that_is_not_what_was_read_is_refused(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that arrives otherwise is named, by its key alone, and no program starts on the copy."""
    await way.source.fill(monkeypatch)
    async with way.source.source() as leaving, leaving.snapshot() as moment, way.target.target() as target:
        page = target.page

        async def other(table: Any, after: Any, limit: int) -> list[Row]:
            return [(row[0], *row[:-1]) if table.name == "projects" else row for row in await page(table, after, limit)]

        monkeypatch.setattr(target, "page", other)
        with pytest.raises(MoveFailed, match=r"row \(1,\) of projects is not the same"):
            await copy_at_once(moment, target, "a copy", Unwatched())
    with pytest.raises(DatabaseMoved):
        await way.target.open()
