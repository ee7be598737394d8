"""What goes when the disk runs low, in which order and how far, over each database; the disk is made up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import select

from entrepot.jobs.watermark import CleanUpSteps, DiskWatch
from entrepot.lifecycle.collection.untagged import Untagged
from entrepot.lifecycle.disks import Bounds, Space
from entrepot.lifecycle.disks import Disk as Made
from entrepot.lifecycle.retention.policies import PolicyText
from entrepot.lifecycle.watermark import Step, Watermark
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.jobs import job_queues, job_runs
from entrepot.metadata.jobs.job_runs import Wanted
from entrepot.metadata.query import Query
from entrepot.metadata.tables import events
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Progress, Unwatched
from tests.contracts.collection.conftest import collecting_in
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, Pusher
from tests.contracts.retention.conftest import Keeper, rule

_ALERTS = Query(
    select(events.c.detail, events.c.result).where(events.c.kind == "alert").order_by(events.c.id), "t.alerts"
)
KIB = 1024


@dataclass
class Disk:
    """A disk of 100 KiB, of which so much is free."""

    keeper: Keeper
    free: int = 50 * KIB
    steps: list[Step] = field(default_factory=list)
    collected: int = 0

    @property
    def watermark(self) -> Watermark:
        """What looks after it: below 10 % until 20 %."""
        return Watermark(
            metadata=self.keeper.bin.database,
            disk=Made(name="blobs", space=self._space),
            bounds=Bounds(low=10, high=20),
            expiry=self.keeper.bin.expiry,
            steps=self._steps,
            collect=self._collect,
        )

    async def _space(self) -> Space:
        return Space(100 * KIB, self.free)

    async def _steps(self) -> Sequence[Step]:
        return self.steps

    async def _collect(self, _progress: Progress) -> None:
        self.collected += 1

    async def alerts(self) -> list[tuple[str, str]]:
        """What was told."""
        return [(row[0], row[1]) for row in await self.keeper.bin.database.all(_ALERTS)]


async def watch(disk: Disk, looks: int = 1) -> None:
    """Look so many times."""
    job = watching(disk)
    for _ in range(looks):
        await job.run(asyncio.Event())


def watching(disk: Disk, *others: Made, metrics: Metrics | None = None) -> DiskWatch:
    """Make the job of one process."""
    return DiskWatch(watermark=disk.watermark, others=others, metrics=metrics or Metrics())


async def test_nothing_goes_while_enough_is_free(keeper: Keeper) -> None:
    """Between the bounds nothing begins."""
    disk = Disk(keeper, free=15 * KIB)
    await keeper.bin.pusher().image("v1", bytes(KIB))
    await keeper.bin.delete("v1")
    await watch(disk)
    assert (len(await keeper.bin.entries()), disk.collected, await disk.alerts()) == (1, 0, [])


async def test_the_oldest_of_the_trash_goes_first_and_no_more_than_need_be(keeper: Keeper) -> None:
    """What it lets go of counts at once, since it is free when the grace is over: the next look takes nothing more."""
    for number in range(6):
        body = await keeper.bin.pusher().image(f"v{number}", bytes([number]) * 4 * KIB)
        await keeper.bin.delete(body)
    disk = Disk(keeper, free=9 * KIB)
    await watch(disk, looks=3)
    assert [entry.tags for entry in await keeper.bin.entries()] == [("v3",), ("v4",), ("v5",)]
    assert disk.collected == 3
    (alert,) = await disk.alerts()
    assert '"free": 9216' in alert[0]


async def test_the_steps_come_in_their_order_and_end_when_enough_is_free(keeper: Keeper) -> None:
    """What a policy removed lies in the trash, which is emptied after each step."""
    bin_ = keeper.bin
    for number in range(4):
        await bin_.pusher().image(f"v{number}", bytes([number]) * 6 * KIB)
        await keeper.age(f"v{number}", 9 - number)
    policy = await keeper.policy(rule("latestPushedK", 2))
    ran: list[str] = []

    async def apply(_progress: Progress) -> None:
        ran.append("policy")
        await keeper.run(policy)

    async def never(_progress: Progress) -> None:
        ran.append("untagged")

    disk = Disk(keeper, free=9 * KIB, steps=[Step("policy", apply), Step("untagged", never)])
    await watch(disk)
    assert ran == ["policy"]
    assert await bin_.entries() == []
    assert [await bin_.has(f"v{number}") for number in range(4)] == [False, False, True, True]


async def test_where_nothing_helps_somebody_is_told_once(keeper: Keeper) -> None:
    """And the steps are not done again and again; that enough is free again is told as well."""
    ran = 0

    async def nothing(_progress: Progress) -> None:
        nonlocal ran
        ran += 1

    disk = Disk(keeper, free=2 * KIB, steps=[Step("nothing", nothing)])
    job = watching(disk)
    for _ in range(3):
        await job.run(asyncio.Event())
    assert ran == 1
    disk.free = 30 * KIB
    await job.run(asyncio.Event())
    await job.run(asyncio.Event())
    assert [result for _, result in await disk.alerts()] == ["success", "failure", "success"]


async def test_an_event_is_told_once_however_many_processes_look(keeper: Keeper) -> None:
    """Two that look in turns, and one that was started meanwhile: one alert for each thing that happens."""
    disk = Disk(keeper, free=2 * KIB)
    for job in [watching(disk), watching(disk)] * 2:
        await job.run(asyncio.Event())
    await asyncio.gather(*(watching(disk).run(asyncio.Event()) for _ in range(3)))
    assert [result for _, result in await disk.alerts()] == ["success", "failure"]
    disk.free = 30 * KIB
    await asyncio.gather(*(watching(disk).run(asyncio.Event()) for _ in range(3)))
    disk.free = 2 * KIB
    await watch(disk)
    assert [result for _, result in await disk.alerts()] == ["success", "failure", "success", "success", "failure"]


async def test_the_disk_of_the_metadata_is_looked_at_too(keeper: Keeper) -> None:
    """Nothing is cleaned up because of it; it is told when it is low, and when enough is free again."""
    free = [5 * KIB]

    async def space() -> Space:
        return Space(100 * KIB, free[0])

    disk, metrics = Disk(keeper), Metrics()
    job = watching(disk, Made(name="metadata", space=space), metrics=metrics)
    await keeper.bin.pusher().image("v1", bytes(KIB))
    await keeper.bin.delete("v1")
    for free[0] in (5 * KIB, 5 * KIB, 15 * KIB, 20 * KIB, 20 * KIB):
        await job.run(asyncio.Event())
    begun, ended = [json.loads(detail) for detail, _ in await disk.alerts()]
    assert (begun["disk"], begun["free"], begun["alert"][-9:]) == ("metadata", 5 * KIB, "add space")
    assert (ended["disk"], ended["free"]) == ("metadata", 20 * KIB)
    assert (len(await keeper.bin.entries()), disk.collected) == (1, 0)


async def test_a_queue_that_is_held_back_holds_nothing_else_up(keeper: Keeper) -> None:
    """While retention is paused no policy is run, also where that comes between asking and running."""
    await keeper.bin.pusher().image("v1", b"one")
    number = await keeper.policy(rule("latestPushedK", 0))
    text = PolicyText(rules=[rule("latestPushedK", 0)], cron="@daily")
    await keeper.policies.change(await keeper.bin.project(), number, text, by=ALICE)
    steps = CleanUpSteps(metadata=keeper.bin.database, untagged=None)
    (step,) = await steps()
    await keeper.bin.database.write(lambda tx: job_queues.pause(tx, "retention", "alice"))
    assert await steps() == []
    async with asyncio.timeout(5):
        await step.run(Unwatched())


async def test_a_dry_run_stands_for_no_policy(keeper: Keeper) -> None:
    """Somebody who only looks at what would go keeps nothing from going."""
    await keeper.bin.pusher().image("v1", b"one")
    number = await keeper.policy(rule("latestPushedK", 0))
    text = PolicyText(rules=[rule("latestPushedK", 0)], cron="@daily")
    await keeper.policies.change(await keeper.bin.project(), number, text, by=ALICE)
    dry = Wanted(kind="retention", subject=f"policy:{number}", parameters={"dry_run": True})
    looked = await keeper.bin.database.write(lambda tx: job_runs.ask(tx, dry))
    (step,) = await CleanUpSteps(metadata=keeper.bin.database, untagged=None)()
    await keeper.bin.database.write(lambda tx: job_queues.pause(tx, "retention", "alice"))
    await step.run(Unwatched())
    of_policy = Condition(field="subject", match=Match.EQUAL, values=(f"policy:{number}",))
    runs = await job_runs.page(keeper.bin.database, Selection(conditions=(of_policy,)))
    assert [run.id == looked for run in runs.items] == [False, True]


async def test_what_may_not_be_collected_now_ends_no_clean_up(kit: Kit) -> None:
    """While nothing may be collected, manifests without a tag stay, and the next look comes all the same."""

    async def closed() -> str:
        return "the folder is still being adopted"

    await Pusher(kit.registry()).image(None, b"one")
    work = replace(collecting_in(kit), gate=closed, grace_seconds=-1)
    (step,) = await CleanUpSteps(metadata=kit.metadata, untagged=Untagged(work))()
    await step.run(Unwatched())


async def test_only_policies_with_a_schedule_are_run(keeper: Keeper) -> None:
    """One that is only tried out, or whose schedule is out of force, is none of them."""
    await keeper.bin.pusher().image("v1", b"one")
    number = await keeper.policy(rule("latestPushedK", 0))
    steps = CleanUpSteps(metadata=keeper.bin.database, untagged=None)
    assert await steps() == []
    text = PolicyText(rules=[rule("latestPushedK", 0)], cron="@daily")
    await keeper.policies.change(await keeper.bin.project(), number, text, by=ALICE)
    assert [step.name for step in await steps()] == [f"retention policy {number} is run"]
