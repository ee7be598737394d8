"""R5, the proof: two pushes, a collection and a delete in every order of their steps.

What a push was told is there is there when its manifest comes; what was acknowledged can be pulled for good; and in the
end nothing is stored that nothing needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Table, bindparam, delete, insert, select

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.model import CollectionLimits
from entrepot.metadata import tables
from entrepot.metadata.contents import manifests
from entrepot.metadata.database import Database, Row, Statistics, T, Transaction, Work
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import work_metadata
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, ManifestUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.registry import uploads
from entrepot.telemetry.progress import Unwatched
from tests.contracts.collection.conftest import GRACE, Clock, House, collecting_in
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.databases import create_all
from tests.support.interleaving import Actor, Order, orders, sample
from tests.support.manifests import entry, image, index

OTHER = RepositoryName.parse("team/other")
CHILD = image(b"{}", b"layer")
#: Without what triggers write by themselves.
_TABLES = tuple(
    table for table in tables.metadata.sorted_tables if table.name not in ("schema", "settings", "artifacts", "sums")
)
_EMPTY = {table: Query(delete(table), f"test.empty.{table.name}") for table in _TABLES}
_ALL = {table: Query(select(table), f"test.all.{table.name}") for table in _TABLES}
_INSERT = {
    table: Query(
        insert(table).values({column.name: bindparam(f"a_{column.name}") for column in table.columns}),
        f"test.insert.{table.name}",
    )
    for table in _TABLES
}


#: What others may notice. A renewed grace belongs to the question that renewed it, and what a collector does to a blob
#: that it has claimed is noticed by its end alone.
STEPS = {
    "mark blobs",
    "claim blobs",
    "collect blobs",
    "collect manifests",
    "commit blob",
    "mount blob",
    "push manifest",
    "delete manifest",
}


class Stepwise:
    """A database whose writes are steps; what is read belongs to the step before."""

    def __init__(self, database: Database, order: Order) -> None:
        self._database = database
        self._order = order
        self.dialect = database.dialect
        self.one, self.all, self.close = database.one, database.all, database.close

    @property
    def statistics(self) -> Statistics:
        """Count as the database does."""
        return self._database.statistics

    async def write(self, work: Work[T], *, name: str = "") -> T:
        """Write, when the turn has come."""
        if name in STEPS:
            await self._order.step(name)
        return await self._database.write(work, name=name)


class StepwiseStore(MemoryBlobStore):
    """A store in which bytes go by a step; they come with the step that commits them."""

    order: Order

    async def delete(self, key: str) -> None:
        """Delete, when the turn has come."""
        await self.order.step("delete bytes")
        await super().delete(key)


@dataclass
class Client:
    """Pushes as clients do: what is said to be there is not sent."""

    house: House
    order: Order
    name: RepositoryName
    acknowledged: list[bytes] = field(default_factory=list)

    @property
    def pusher(self) -> Pusher:
        """Send what must be sent."""
        return Pusher(self.house.registry, self.name)

    async def push(self, *layers: bytes, tag: str | None) -> None:
        """Ask for the blobs, send those that are not there, then the manifest."""
        await self.order.step("asks for blobs")
        for content in (b"{}", *layers):
            await self._ensure(content)
        await self._manifest(image(b"{}", *layers), tag)

    async def mount(self, source: RepositoryName, layer: bytes) -> None:
        """Mount a layer from another repository, or send it; then the manifest."""
        await self.order.step("mounts")
        if await self.house.registry.blobs.mount(self.name, Digest.of(layer), source, actor=ALICE) is None:
            await self.pusher.blob(layer)
        await self._ensure(b"{}")
        await self._manifest(image(b"{}", layer), "mounted")

    async def index(self, *children: bytes) -> None:
        """Ask for images, send those that are not there, then an index of them."""
        for child in children:
            await self.order.step("asks for an image")
            try:
                await self.house.registry.manifests.get(self.name, Digest.of(child), content=False)
            except ManifestUnknown:
                await self.push(b"layer", tag=None)
        await self._manifest(index(*(entry(child) for child in children)), "index")

    async def _ensure(self, content: bytes) -> None:
        try:
            await self.house.registry.blobs.stat(self.name, Digest.of(content))
        except BlobUnknown:
            await self.pusher.blob(content)

    async def _manifest(self, body: bytes, tag: str | None) -> None:
        await self.pusher.manifest(body, tag)
        self.acknowledged.append(body)


@dataclass(frozen=True)
class Snapshot:
    """All that a registry holds, to begin anew from."""

    rows: Mapping[Table, list[Row]]
    blobs: Mapping[str, bytes]
    placed_at: Mapping[str, int]

    @classmethod
    async def of(cls, house: House) -> Snapshot:
        """Read it."""
        rows = {table: await house.kit.metadata.all(query) for table, query in _ALL.items()}
        return cls(rows, dict(house.store._blobs), dict(house.store._placed_at))

    async def restore(self, house: House) -> None:
        """Put it back."""

        async def work(tx: Transaction) -> None:
            for table in reversed(_TABLES):
                await tx.execute(_EMPTY[table])
            for table, rows in self.rows.items():
                names = [f"a_{column.name}" for column in table.columns]
                if rows:
                    await tx.many(_INSERT[table], [dict(zip(names, row, strict=True)) for row in rows])

        await house.kit.metadata.write(work)
        store = house.store
        store._blobs, store._placed_at, store._uploads = dict(self.blobs), dict(self.placed_at), {}


@dataclass
class Stage:
    """A registry in which actors move step by step."""

    house: House
    order: Order
    clients: list[Client] = field(default_factory=list)

    def client(self, name: RepositoryName = NAME) -> Client:
        """Let somebody push."""
        client = Client(self.house, self.order, name)
        self.clients.append(client)
        return client

    async def collect(self) -> None:
        """Run the collector once."""
        await Collector(self.house.work).run(Unwatched())

    async def delete(self, body: bytes) -> None:
        """Delete a manifest."""
        await self.house.registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)

    @property
    def acknowledged(self) -> list[tuple[RepositoryName, bytes]]:
        """List what clients were told is stored."""
        return [(client.name, body) for client in self.clients for body in client.acknowledged]

    async def require_acknowledged(self) -> None:
        """See that what was acknowledged is there, with all that it needs."""
        for name, body in self.acknowledged:
            row = await manifests.by_digest(self.house.kit.metadata, name, str(Digest.of(body)))
            assert row is not None, body
            for needed in oci_manifest.parse(body, None).children:
                assert await manifests.by_digest(self.house.kit.metadata, name, str(needed.digest)), needed
        for (digest,) in await self.house.kit.metadata.all(_NEEDED):
            assert digest in self.house.store._blobs, digest


Scene = Callable[[Stage], Mapping[str, Actor]]


def blobs_scene(stage: Stage) -> Mapping[str, Actor]:
    """Two pushes of a layer that is due to go, one of them by a mount; the image beside it is deleted."""
    return {
        "collector": stage.collect,
        "delete": lambda: stage.delete(image(b"{}", b"needed")),
        "mount": lambda: stage.client(OTHER).mount(NAME, b"loose"),
        "push": lambda: stage.client().push(b"loose", b"needed", tag="a"),
    }


def manifests_scene(stage: Stage) -> Mapping[str, Actor]:
    """An index and a push of an image whose index went long ago; another image of the same layer is deleted."""
    return {
        "collector": stage.collect,
        "delete": lambda: stage.delete(image(b"{}", b"layer", b"more")),
        "index": lambda: stage.client().index(CHILD),
        "push": lambda: stage.client().push(b"layer", tag=None),
    }


async def prepare_blobs(house: House) -> None:
    """Leave a loose layer whose time is over, and entries of the queue for what an image needs."""
    await house.pusher.image("victim", b"needed")
    await house.pusher.blob(b"loose")
    await Pusher(house.registry, OTHER).image("other", b"other")
    house.clock.advance(GRACE + 1)


async def prepare_manifests(house: House) -> None:
    """Leave an image whose index has gone, its time over, and entries of the queue for its layers."""
    await house.pusher.image(None, b"layer")
    await house.pusher.image("victim", b"layer", b"more")
    old = index(entry(CHILD), annotations={"old": "yes"})
    await house.pusher.manifest(old, "old")
    await house.registry.manifests.delete(NAME, Digest.of(old), actor=ALICE)
    house.clock.advance(GRACE + 1)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A registry whose time stands still."""
    monkeypatch.setattr(
        uploads, "asyncio", SimpleNamespace(get_running_loop=asyncio.get_running_loop, sleep=_look_again)
    )
    metadata, work = SqliteDatabase(tmp_path / "metadata.db"), SqliteDatabase(tmp_path / "work.db")
    await create_all(metadata, tables.metadata)
    await create_all(work, work_metadata)
    store = StepwiseStore()
    store.order = Order(lambda _count: 0)
    kit = Kit(metadata, work, store)
    # One thing after the other: whoever moves moves alone.
    yield House(kit, Clock(monkeypatch), replace(collecting_in(kit), limits=CollectionLimits(deletes=1)))
    await metadata.close()
    await work.close()


async def _look_again(_seconds: float) -> None:
    await Order.mine().until("collect blobs")


async def play(house: House, scene: Scene, some: Iterable[Order]) -> int:
    """Run orders from the same beginning, and look at each end; returns how many ran."""
    beginning = await Snapshot.of(house)
    count = 0
    for order in some:
        count += 1
        await beginning.restore(house)
        house.store.order = order
        stepwise = Stepwise(house.kit.metadata, order)
        kit = Kit(stepwise, house.kit.work, house.kit.store)
        stage = Stage(House(kit, house.clock, replace(house.work, metadata=stepwise)), order)
        try:
            await order.run(scene(stage), stage.require_acknowledged)
            assert len(stage.acknowledged) >= 2
            await check_the_end(stage)
        except BaseException as error:
            error.add_note("order: " + ", ".join(order.taken))
            raise
    return count


async def check_the_end(stage: Stage) -> None:
    """After all graces, see that what was acknowledged is there still, and that nothing is there that nothing needs."""
    house = stage.house
    now = house.clock.ahead
    house.store.order = Order(lambda _count: 0)
    await house.collect_until_nothing_is_left()
    await stage.require_acknowledged()
    house.clock.ahead = now
    needed = {row[0] for row in await house.kit.metadata.all(_NEEDED)}
    assert await house.keys() == needed
    assert {row[0] for row in await house.kit.metadata.all(_ROWS)} == needed
    assert await house.count("review_queue") == 0


_NEEDED = Query(
    select(tables.blobs.c.digest)
    .join(tables.manifest_blobs, tables.manifest_blobs.c.blob_id == tables.blobs.c.id)
    .distinct(),
    "test.interleaving.needed",
)
_ROWS = Query(select(tables.blobs.c.digest).where(tables.blobs.c.state == "live"), "test.interleaving.rows")


async def test_pushes_of_a_layer_that_is_due_in_some_orders(house: House) -> None:
    """Three hundred orders of the hundred thousand, at random."""
    await prepare_blobs(house)
    assert await play(house, blobs_scene, sample(1, 300)) == 300


async def test_pushes_of_an_image_that_is_due_in_some_orders(house: House) -> None:
    """The same for manifests."""
    await prepare_manifests(house)
    assert await play(house, manifests_scene, sample(2, 300)) == 300


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_pushes_of_a_layer_that_is_due_in_every_order(house: House) -> None:
    """All orders."""
    await prepare_blobs(house)
    assert await play(house, blobs_scene, orders()) > 9_000


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_pushes_of_an_image_that_is_due_in_every_order(house: House) -> None:
    """All orders."""
    await prepare_manifests(house)
    assert await play(house, manifests_scene, orders()) > 1_000
