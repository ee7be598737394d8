"""What was used, day by day: noted now and then, so that the last note of a day is the day's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from entrepot.insight.forecast import Forecast, foretell
from entrepot.insight.trend import Point
from entrepot.metadata import clock, settings
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.usage import analyses, usage, usage_history, usage_recount
from entrepot.metadata.usage.analyses import Analysis
from entrepot.metadata.usage.usage import FULL, Standing
from entrepot.metadata.usage.usage_history import DiskOnDay, UsedOnDay, day_of
from entrepot.telemetry.progress import Progress

#: Days that are kept, and of which a forecast is made.
KEPT: Final = 731
USUAL: Final = 90
#: The setting that says when usage was noted last.
NOTED: Final = "insight.noted"
#: The setting that says for which schema the sums of all projects were added up from nothing.
SETTLED: Final = "usage.settled"
#: Seconds in which a transaction that began before a note may still change what it noted.
_MARGIN: Final = 600.0
_AT_ONCE: Final = 500


class Space(Protocol):
    """The disk below the blobs, in bytes."""

    @property
    def total(self) -> int:
        """How large it is."""
        ...

    @property
    def free(self) -> int:
        """How much of it can still be written."""
        ...


#: Looks at the disk.
SpaceOf = Callable[[], Awaitable[Space]]


@dataclass(frozen=True, slots=True)
class Recorder:
    """Notes what is used."""

    metadata: Database
    space: SpaceOf

    async def settle(self, progress: Progress) -> None:
        """Add up once what projects use: programs of schema 4 counted the bytes of each copy of a manifest.

        A project at a time; who pushes to it waits for that long.

        Raises:
            Stopped: Somebody asked for an end; the next run begins anew.
        """
        last = 0 if await settings.find(self.metadata, SETTLED) is None else None
        while last is not None and (found := await usage_recount.projects_after(self.metadata, last, _AT_ONCE)):
            for project in found:
                await progress.step(project)
                await self.metadata.write(partial(usage_recount.settle, project_id=project), name="settle usage")
            last = found[-1]
        if last is not None:
            await self.metadata.write(partial(settings.put, key=SETTLED, value="5"), name="settle usage")

    async def note(self, progress: Progress) -> int:
        """Note what has changed since the last note, and forget days that are too old; return how many projects.

        Raises:
            Stopped: Somebody asked for an end.
        """
        began = clock.now()
        since = int(await settings.find(self.metadata, NOTED) or 0) - int(_MARGIN * clock.MICROSECONDS)
        count = await self._projects(progress, since, day_of(began))
        await self._disk(day_of(began))

        async def remember(tx: Transaction) -> None:
            await settings.put(tx, NOTED, str(began))

        await self.metadata.write(remember, name="note usage")
        await self._forget(progress, day_of(began) - KEPT)
        return count

    async def _projects(self, progress: Progress, since: int, day: int) -> int:
        last: int | None = 0
        count = 0
        while last is not None:
            await progress.step(count)

            async def note(tx: Transaction, last: int = last) -> tuple[int, int | None]:
                return await usage_history.note_projects(tx, last=last, since=since, day=day, limit=_AT_ONCE)

            noted, last = await self.metadata.write(note, name="note usage")
            count += noted
        return count

    async def _disk(self, day: int) -> None:
        space = await self.space()
        stored = stored_bytes(await analyses.last_finished(self.metadata))
        today = DiskOnDay(day=day, total_bytes=space.total, free_bytes=space.free, stored_bytes=stored)
        await self.metadata.write(lambda tx: usage_history.note_disk(tx, today), name="note usage")

    async def _forget(self, progress: Progress, before: int) -> None:
        forgotten = _AT_ONCE
        while forgotten == _AT_ONCE:
            await progress.step(0)

            async def forget(tx: Transaction) -> int:
                return await usage_history.forget_some(tx, before=before, limit=_AT_ONCE)

            forgotten = await self.metadata.write(forget, name="forget usage")


def stored_bytes(analysis: Analysis | None) -> int | None:
    """Return the bytes of all that is stored as far as an analysis found: what is needed, in the trash or waiting."""
    if analysis is None:
        return None
    return sum(int(analysis.totals.get(name, 0)) for name in ("stored_bytes", "trash_bytes", "waiting_bytes"))


@dataclass(frozen=True, slots=True)
class Past:
    """Tells what was used, and what that means for the days to come."""

    metadata: Database
    space: SpaceOf

    async def of_project(self, project_id: int, *, days: int) -> list[UsedOnDay]:
        """Return what a project used on each of the last days, today as it is now; days before the first are left out.

        A day without a note is like the one before.
        """
        today = day_of(clock.now())
        known = await usage_history.of_project(self.metadata, project_id, since=today - days + 1)
        now = (await usage.find(self.metadata, project_id)).counts
        current = UsedOnDay(
            day=today,
            blob_bytes=now.blob_bytes,
            full_bytes=now.full_bytes,
            manifest_bytes=now.manifest_bytes,
            manifests=now.manifests,
        )
        return _each_day([one for one in known if one.day < today], current, days)

    async def of_disk(self, *, days: int) -> list[DiskOnDay]:
        """Return what there was on the disk on each of the last days that is known, today as it is now."""
        today = day_of(clock.now())
        known = await usage_history.of_disk(self.metadata, since=today - days + 1)
        space = await self.space()
        stored = stored_bytes(await analyses.last_finished(self.metadata))
        now = DiskOnDay(day=today, total_bytes=space.total, free_bytes=space.free, stored_bytes=stored)
        return [*(one for one in known if one.day < today), now]

    async def when_project_is_full(self, project_id: int, *, days: int = USUAL) -> Forecast:
        """Say when a project reaches its limit."""
        standing = await usage.find(self.metadata, project_id)
        past = await self.of_project(project_id, days=days)
        points = [Point(one.day, used_of(one, standing)) for one in past]
        return await asyncio.to_thread(foretell, points, standing.limits.hard_bytes)

    async def when_disk_is_full(self, *, days: int = USUAL) -> Forecast:
        """Say when the disk is full."""
        past = await self.of_disk(days=days)
        points = [
            Point(one.day, one.total_bytes - one.free_bytes)
            for one in past
            if one.total_bytes is not None and one.free_bytes is not None
        ]
        return await asyncio.to_thread(foretell, points, past[-1].total_bytes)


def used_of(one: UsedOnDay, standing: Standing) -> int:
    """Return the bytes that count for a project's quota, by the charge model that it has now."""
    return one.manifest_bytes + (one.full_bytes if standing.limits.charge == FULL else one.blob_bytes)


def _each_day(known: Sequence[UsedOnDay], today: UsedOnDay, days: int) -> list[UsedOnDay]:
    """Fill the days between notes."""
    notes = {one.day: one for one in known}
    first = today.day - days + 1
    last = next((one for one in reversed(known) if one.day < first), None)
    filled = []
    for day in range(first, today.day):
        last = notes.get(day, last)
        if last is not None:
            filled.append(replace(last, day=day))
    return [*filled, today]
