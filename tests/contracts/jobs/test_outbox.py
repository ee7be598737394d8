"""The outbox: in order, at least once, nothing lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence

import pytest

from entrepot.jobs import outbox as module
from entrepot.jobs.outbox import OutboxConsumer
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.jobs.outbox import OutboxEntry
from entrepot.metadata.jobs.outbox_rounds import Round
from entrepot.telemetry.instruments import Metrics


async def leave(database: Database, *numbers: int) -> None:
    """Leave entries, all in one transaction."""

    async def work(tx: Transaction) -> None:
        for number in numbers:
            await outbox.add(tx, "topic", number=number)

    await database.write(work)


class Recorder:
    """A handler that remembers, and fails when told to."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.failing = False

    async def __call__(self, entries: Sequence[OutboxEntry]) -> None:
        """Take a batch."""
        if self.failing:
            raise OSError("the disk is full")
        self.seen += [entry.payload["number"] for entry in entries]


async def test_entries_are_handled_in_order_and_removed(tables: Database) -> None:
    """Every handler sees all entries in the order of their transactions; then they are gone."""
    await leave(tables, 1, 2)
    await leave(tables, 3)
    one, two = Recorder(), Recorder()
    consumer = OutboxConsumer(tables, [one, two], Metrics())
    assert await consumer.handle_batch() == 3
    assert one.seen == two.seen == [1, 2, 3]
    assert (await outbox.backlog(tables))[0] == 0
    assert await consumer.handle_batch() == 0


async def test_a_failure_that_lasts_for_hours_does_not_end_the_job(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause grows to its bound and stays there; at the 1,100th failure the consumer still tries again."""
    await leave(tables, 1)
    recorder, stop, pauses = Recorder(), asyncio.Event(), list[float]()
    recorder.failing = True

    async def pause(stop: asyncio.Event, seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1100:
            recorder.failing = False
            stop.set()

    monkeypatch.setattr(module, "_pause", pause)
    await OutboxConsumer(tables, [recorder], Metrics()).run(stop)
    assert max(pauses) == pauses[-1] == 30
    assert recorder.seen == [1]


async def test_a_failure_keeps_the_entries(tables: Database) -> None:
    """What a handler could not do stays, and is done when it can, in the same order."""
    await leave(tables, 1, 2)
    recorder = Recorder()
    recorder.failing = True
    stop = asyncio.Event()
    task = asyncio.create_task(OutboxConsumer(tables, [recorder], Metrics()).run(stop))
    await asyncio.sleep(0.5)
    assert (await outbox.backlog(tables))[0] == 2
    await leave(tables, 3)
    recorder.failing = False
    async with asyncio.timeout(10):
        while recorder.seen != [1, 2, 3]:
            await asyncio.sleep(0.02)
    stop.set()
    await task


async def test_entries_are_taken_as_they_come_until_stopped(tables: Database) -> None:
    """More than one batch, and what comes later, is handled; the waiting number is a metric."""
    recorder, metrics, stop = Recorder(), Metrics(), asyncio.Event()
    await leave(tables, *range(outbox.BATCH + 50))
    task = asyncio.create_task(OutboxConsumer(tables, [recorder], metrics).run(stop))
    async with asyncio.timeout(10):
        while len(recorder.seen) < outbox.BATCH + 50:
            await asyncio.sleep(0.02)
        await leave(tables, -1)
        while recorder.seen[-1] != -1:
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(task, 5)
    gauges = {family.name: family.series for family in metrics.families()}
    assert () in gauges["entrepot_outbox_pending"]
    assert () in gauges["entrepot_outbox_lag_seconds"]


async def push(database: Database, *repositories: str) -> None:
    """Leave an entry for each repository."""

    async def work(tx: Transaction) -> None:
        for name in repositories:
            await outbox.add(tx, "topic", repository=name)

    await database.write(work)


class Picky:
    """A handler that some repositories fail."""

    def __init__(self, *refused: str, number: int = errno.ENOTDIR) -> None:
        self.refused = set(refused)
        self.number = number
        self.done: list[str] = []

    async def __call__(self, entries: Sequence[OutboxEntry]) -> None:
        """Take a batch, up to the first that fails."""
        for entry in entries:
            if entry.repository in self.refused:
                raise OSError(self.number, "it is not to be", entry.repository)
            self.done.append(str(entry.repository))


async def test_a_repository_that_cannot_be_written_holds_up_no_other(
    tables: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """More than a batch of its entries lie in front; they stay in their order, are told of once, and tried again."""
    monkeypatch.setattr(module, "_ASIDE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_ROUNDS_SHARE", 0)
    await push(tables, *["poison/x"] * (outbox.BATCH + 5), "later/y", "poison/x", "later/z")
    picky, metrics = Picky("poison/x"), Metrics()
    consumer = OutboxConsumer(tables, [picky], metrics)
    for _ in range(9):
        await consumer.handle_batch()
    assert set(picky.done) == {"later/y", "later/z"}
    assert (await outbox.backlog(tables))[0] == outbox.BATCH + 6
    assert [record.__dict__["repository"] for record in caplog.records] == ["poison/x"]
    gauges = {family.name: family.series for family in metrics.families()}
    assert gauges["entrepot_outbox_set_aside"][()] == [1]
    picky.refused.clear()
    for _ in range(9):
        await consumer.handle_batch()
    assert picky.done.count("poison/x") == outbox.BATCH + 6
    assert (await outbox.backlog(tables))[0] == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOTCONN])
async def test_a_disk_that_is_full_or_gone_holds_up_all(tables: Database, number: int) -> None:
    """What no repository is to blame for is no reason to go on with the others."""
    await push(tables, "one/x", "two/y")
    consumer = OutboxConsumer(tables, [Picky("one/x", number=number)], Metrics())
    with pytest.raises(OSError, match="not to be"):
        await consumer.handle_batch()
    assert (await outbox.backlog(tables))[0] == 2


async def test_what_stays_aside_is_not_read_again_and_again(tables: Database) -> None:
    """At its end a round waits for what comes; what is set aside is looked at by the next round."""
    await push(tables, *["poison/x"] * 5, "later/y")
    picky = Picky("poison/x")
    current = Round(tables, [picky])
    assert [await current.batch() for _ in range(3)] == [6, 0, 0]
    await push(tables, "more/z")
    assert await current.batch() == 1
    assert picky.done == ["later/y", "more/z"]
    picky.refused.clear()
    assert await Round(tables, [picky]).batch() == 5
