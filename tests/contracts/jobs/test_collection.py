"""Collection as jobs: all the time, and by runs that people see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.jobs.collection import GARBAGE_COLLECTION, CollectionMetrics, GarbageCollection, SteadyCollection
from entrepot.jobs.model import JobKind
from entrepot.lifecycle.collection.collector import Collector
from entrepot.lifecycle.collection.full_collection import EmptyTrash, WholeCollection, no_trash
from entrepot.lifecycle.collection.manifest_removal import following
from entrepot.lifecycle.collection.model import Collecting
from entrepot.lifecycle.collection.orphans import Orphans
from entrepot.metadata.contents import blobs
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import review
from entrepot.oci.digest import Digest
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress
from tests.support.job_runs import ask, until, worker


@asynccontextmanager
async def alone() -> AsyncIterator[None]:
    """Give the turn where nobody else is."""
    yield


@dataclass
class Shop:
    """A collector, and what it tells."""

    work: Collecting
    store: MemoryBlobStore
    metrics: Metrics

    async def leave(self, *contents: bytes) -> None:
        """Leave blobs that nothing needs and whose time is over."""

        async def work(tx: Transaction) -> None:
            for content in contents:
                digest = str(Digest.of(content))
                row_id = await blobs.put(tx, digest, size=len(content), storage_key=digest, review_after=1)
                assert row_id is not None
                await review.add(tx, review.BLOB, [row_id], after=1, reason="test")

        for content in contents:
            self.store._blobs[str(Digest.of(content))] = content
        await self.work.metadata.write(work)

    def value(self, name: str, *labels: str) -> float:
        """Read a metric."""
        (family,) = [family for family in self.metrics.families() if family.name == name]
        return family.series.get(labels, [0.0])[0]

    def steady(self) -> SteadyCollection:
        """Give the lasting job."""
        return self.steadily(no_trash)

    def steadily(self, empty_trash: EmptyTrash) -> SteadyCollection:
        """Give the lasting job, with another trash."""
        orphans = Orphans(self.work, Quarantine(self.work.metadata, self.store, lambda: False))
        return SteadyCollection(Collector(self.work), empty_trash, CollectionMetrics(self.metrics), orphans)


@pytest.fixture
def shop(tables: Database) -> Shop:
    """A collector over an empty store."""
    store = MemoryBlobStore()
    leave = following(RegistrySettings(grace_seconds=1.0))
    work = Collecting(metadata=tables, store=store, grace_seconds=1.0, turn=alone, leave=leave)
    return Shop(work, store, Metrics())


@asynccontextmanager
async def running(job: SteadyCollection) -> AsyncIterator[None]:
    """Let the lasting job run beside the body."""
    stop = asyncio.Event()
    task = asyncio.create_task(job.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def nothing_is_left(shop: Shop) -> None:
    """Wait until the store is empty."""
    async with asyncio.timeout(10):
        while shop.store._blobs:
            await asyncio.sleep(0.02)


async def test_what_is_due_goes_by_itself(shop: Shop) -> None:
    """What was there at the start, and what comes later; the metrics say how much."""
    await shop.leave(b"one", b"two")
    async with running(shop.steady()):
        await nothing_is_left(shop)
        await shop.leave(b"three")
        await nothing_is_left(shop)
    assert shop.value("entrepot_collection_removed", "blob") == 3
    assert shop.value("entrepot_collection_freed_bytes") == 11
    assert shop.value("entrepot_collection_runs", "done") >= 1
    assert shop.value("entrepot_collection_failures") == 0


async def test_the_queue_is_shown(shop: Shop) -> None:
    """How much waits, how much of it is due, and for how long."""

    async def closed() -> str | None:
        return "the registry is read-only"

    await shop.leave(b"one", b"two")
    shop.work = replace(shop.work, gate=closed)
    async with running(shop.steady()):
        async with asyncio.timeout(10):
            while not shop.value("entrepot_collection_queue"):
                await asyncio.sleep(0.02)
    assert (shop.value("entrepot_collection_queue"), shop.value("entrepot_collection_queue_due")) == (2, 2)
    assert shop.value("entrepot_collection_overdue_seconds") > 1e9
    assert shop.value("entrepot_collection_runs", "off") >= 1
    assert shop.store._blobs


async def test_a_failure_does_not_end_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database was away for a moment; what is left is done at the next look."""
    await shop.leave(b"one")
    real, failures = Collector.run, iter([RuntimeError("the database is away"), TimeoutError("another has the turn")])

    async def fail_first(self: Collector, *arguments: object) -> object:
        if (failure := next(failures, None)) is not None:
            raise failure
        return await real(self, *arguments)  # type: ignore[arg-type] - handed through

    monkeypatch.setattr(Collector, "run", fail_first)
    async with running(shop.steady()):
        await nothing_is_left(shop)
    assert shop.value("entrepot_collection_runs", "failed") == 2


async def test_the_trash_is_emptied_on_the_way(shop: Shop) -> None:
    """Of what is past its time; a failure there leaves collection alone."""
    seen: list[bool] = []

    async def empty(progress: Progress, *, everything: bool) -> None:
        await progress.step(0)
        seen.append(everything)
        raise RuntimeError("it does not work now")

    await shop.leave(b"one")
    async with running(shop.steadily(empty)):
        await nothing_is_left(shop)
    assert seen[0] is False


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_run_that_people_see(shop: Shop, *, dry_run: bool) -> None:
    """Asked for with parameters; its result says what it did, and its log what it was about."""
    await shop.leave(b"one")
    quarantine = Quarantine(shop.work.metadata, shop.store, lambda: False)
    work = GarbageCollection(WholeCollection(shop.work, quarantine), CollectionMetrics(shop.metrics), may_delete=False)
    async with worker(shop.work.metadata, JobKind(traits=replace(GARBAGE_COLLECTION, schedule=""), run=work.run)):
        parameters = {"dry_run": dry_run, "delete_untagged": True}
        number = await ask(shop.work.metadata, GARBAGE_COLLECTION.name, parameters=parameters)
        run = await until(shop.work.metadata, number)
    assert run.result is not None
    assert run.result["collected"]["blobs"] == 1
    assert bool(shop.store._blobs) == dry_run
    assert shop.value("entrepot_collection_removed", "blob") == (0 if dry_run else 1)
