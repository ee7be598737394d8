"""What was used is noted day by day, costs little where little changed, and leads to a forecast."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from entrepot.insight import history as rules
from entrepot.insight.analysis import Analyser
from entrepot.insight.forecast import Forecast, Outlook, foretell
from entrepot.insight.history import Past, Recorder
from entrepot.jobs.usage_history import NotingUsage
from entrepot.metadata import clock
from entrepot.metadata.contents import projects
from entrepot.metadata.query import RawQuery
from entrepot.metadata.usage import usage, usage_recount
from entrepot.metadata.usage.usage import FULL, Counts, Limits
from entrepot.metadata.usage.usage_history import DAY, day_of
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Unwatched
from tests.contracts.insight.conftest import World

_DAYS = RawQuery("SELECT day FROM usage_days ORDER BY project_id, day")


@dataclass
class Disk:
    """A disk that a test fills."""

    total: int = 1_000_000
    free: int = 900_000


@dataclass
class Calendar:
    """A registry whose days pass as a test wants."""

    world: World
    disk: Disk
    ahead: int = 0  #: microseconds

    @property
    def recorder(self) -> Recorder:
        """What notes."""
        return Recorder(self.world.kit.metadata, self._space)

    @property
    def past(self) -> Past:
        """What tells."""
        return Past(self.world.kit.metadata, self._space)

    async def _space(self) -> Disk:
        return self.disk

    async def note(self, days: int = 0) -> int:
        """Note what is used, and let days pass."""
        noted = await self.recorder.note(Unwatched())
        self.ahead += days * DAY
        return noted

    async def days(self) -> list[int]:
        """Return the days that are noted of projects, counted from today on."""
        rows = await self.world.kit.metadata.all(_DAYS)
        return [row[0] - day_of(clock.now()) for row in rows]


@pytest.fixture
def calendar(world: World, monkeypatch: pytest.MonkeyPatch) -> Calendar:
    """It begins today."""
    made, real = Calendar(world, Disk()), clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + made.ahead)
    return made


async def test_a_day_is_noted_once_and_only_where_something_changed(calendar: Calendar) -> None:
    """The last note of a day counts; projects that nobody touched cost no row."""
    await calendar.world.pusher("quiet/app").image("1", b"layer")
    await calendar.world.pusher().image("1", b"layer")
    assert await calendar.note(days=1) == 2
    assert await calendar.note(days=1) == 2  # the margin: a transaction may have been under way at the last note
    assert await calendar.note() == 0
    await calendar.world.pusher().image("2", b"more")
    assert await calendar.note() == 1
    assert await calendar.note() == 1
    assert await calendar.days() == [-2, -1, -2, -1, 0]


async def test_the_past_has_every_day(calendar: Calendar) -> None:
    """Days without a note are as the day before, today is as it is now, and before the first there is nothing."""
    await calendar.world.pusher().image("1", b"layer")
    project = await calendar.world.project()
    await calendar.note(days=3)
    await calendar.world.pusher().image("2", b"more")
    await calendar.note(days=1)
    await calendar.world.pusher().image("3", b"even more")
    points = await calendar.past.of_project(project.id, days=30)
    today = day_of(clock.now())
    assert [point.day - today for point in points] == [-4, -3, -2, -1, 0]
    assert [point.manifests for point in points] == [1, 1, 1, 2, 3]
    assert [point.manifests for point in await calendar.past.of_project(project.id, days=3)] == [1, 2, 3]
    assert points[-1].blob_bytes == (await usage.find(calendar.world.kit.metadata, project.id)).counts.blob_bytes


async def test_the_disk_is_noted_with_what_the_analysis_found(calendar: Calendar) -> None:
    """Before the first analysis nobody knows what is stored."""
    await calendar.world.pusher().image("1", b"layer")
    await calendar.note(days=1)
    await Analyser(metadata=calendar.world.kit.metadata).run(Unwatched())
    calendar.disk.free -= 1000
    await calendar.note()
    points = await calendar.past.of_disk(days=30)
    assert [(point.free_bytes, point.stored_bytes) for point in points] == [
        (900_000, None),
        (899_000, sum(await calendar.world.stored())),
    ]


async def test_old_days_are_forgotten(calendar: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last of those before the bound, which says what was used since."""
    monkeypatch.setattr(rules, "KEPT", 5)
    monkeypatch.setattr(rules, "_AT_ONCE", 2)
    project = None
    for number in range(8):
        await calendar.world.pusher().image(str(number), str(number).encode())
        project = await calendar.world.project()
        await calendar.note(days=1)
    calendar.ahead += 3 * DAY
    await calendar.note()
    assert await calendar.days() == [-5, -4, 0]
    assert project is not None
    assert [point.manifests for point in await calendar.past.of_project(project.id, days=6)] == [7, 8, 8, 8, 8, 8]
    assert len(await calendar.past.of_disk(days=5)) == 2


async def test_the_day_a_quota_is_used_up(calendar: Calendar) -> None:
    """Steady pushes lead to a day; the charge model decides what counts; too few days say nothing yet."""
    metadata = calendar.world.kit.metadata
    for number in range(8):
        await calendar.world.pusher().image(str(number), b"%06d" % number * 500)
        await calendar.note(days=1)
    calendar.ahead -= DAY
    project = await calendar.world.project()
    assert (await calendar.past.when_project_is_full(project.id)).outlook is Outlook.UNLIMITED
    used = (await usage.find(metadata, project.id)).bytes
    for charge in (FULL, "shared"):
        limits = Limits(charge=charge, hard_bytes=used + 10 * 3_500)
        await metadata.write(lambda tx, limits=limits: usage.set_limits(tx, project.id, limits))
        told = await calendar.past.when_project_is_full(project.id)
        assert (told.outlook, told.points) == (Outlook.FILLING, 8)
        assert told.days_left(day_of(clock.now())) == 10
    assert (await calendar.past.when_project_is_full(project.id, days=7)).points == 7


async def test_the_day_the_disk_is_full(calendar: Calendar) -> None:
    """Ten thousand bytes a day, whatever they are: eighty days are left, and none when the disk is full."""
    for _ in range(10):
        await calendar.note(days=1)
        calendar.disk.free -= 10_000
    told = await calendar.past.when_disk_is_full()
    assert told.days_left(day_of(clock.now())) == 80
    calendar.disk.free = 0
    assert (await calendar.past.when_disk_is_full()).outlook is Outlook.FULL


async def test_forecasts_are_made_beside_the_event_loop(calendar: Calendar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two years of days make 267,000 pairs: no pull waits while they are looked at."""
    threads = []

    def observed(*given: Any) -> Forecast:
        threads.append(threading.get_ident())
        return foretell(*given)

    monkeypatch.setattr(rules, "foretell", observed)
    await calendar.world.pusher().image("1", b"layer")
    await calendar.past.when_disk_is_full()
    await calendar.past.when_project_is_full((await calendar.world.project()).id)
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_the_metrics_tell_when_the_disk_is_full(calendar: Calendar) -> None:
    """Nothing while that is unknown; what is stored as soon as an analysis has found it."""
    metrics = Metrics()
    noting = NotingUsage(recorder=calendar.recorder, past=calendar.past, metrics=metrics)
    await calendar.world.pusher().image("1", b"layer")
    seen = []
    for _ in range(8):
        result = await noting.run(Unwatched())  # type: ignore[arg-type] - all that it needs of a run
        seen.append(result["days_until_the_disk_is_full"])
        calendar.ahead += DAY
        calendar.disk.free -= 100_000
    assert seen == [None] * 6 + [3, 2]
    await Analyser(metadata=calendar.world.kit.metadata).run(Unwatched())
    await noting.run(Unwatched())  # type: ignore[arg-type] - as above
    told = {family.name: family.series[()] for family in metrics.families()}
    assert told == {
        "entrepot_disk_full_days": [1.0],
        "entrepot_stored_bytes": [sum(await calendar.world.stored())],
    }


async def test_sums_of_before_are_added_up_once(calendar: Calendar) -> None:
    """Programs of schema 4 counted each copy of a manifest; what is wrong afterwards is for the check-up to find."""
    world = calendar.world
    body = await world.pusher("one/a").image("v1", b"layer")
    project = await projects.find(world.kit.metadata, "one")
    assert project is not None
    for expected in (None, Counts(manifest_bytes=-len(body))):
        await world.kit.metadata.write(lambda tx: usage.change(tx, project.id, Counts(manifest_bytes=len(body))))
        await calendar.recorder.settle(Unwatched())
        wrong = await usage_recount.wrong_sum(world.kit.metadata, project.id)
        assert (None if wrong is None else wrong.by) == expected
