"""Schedules as people set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entrepot.access.faults import Invalid, NotFound
from entrepot.metadata import clock, events
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.jobs import schedules as rows
from entrepot.metadata.jobs.schedules import Origin, Schedule
from entrepot.system.jobs.kinds import Kinds
from entrepot.system.jobs.service import checked_parameters, checked_subject
from entrepot.system.jobs.timetable import TimetableInvalid, next_time


class Schedules:
    """The use cases about schedules; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database, kinds: Kinds) -> None:
        self._metadata = metadata
        self._kinds = kinds

    async def page(self, selection: Selection, *, in_force: bool = False) -> Listed[Schedule]:
        """Return a page of the schedules, of all or only of those in force."""
        return await rows.page(self._metadata, selection, in_force=in_force)

    async def find(self, kind: str, subject: str = "") -> Schedule | None:
        """Return the schedule of a kind and subject.

        Raises:
            NotFound: There is no such kind.
        """
        self._kinds.get(kind)
        return await rows.find(self._metadata, kind, subject)

    async def set(
        self,
        kind: str,
        *,
        cron: str,
        time_zone: str = "UTC",
        subject: str = "",
        parameters: Mapping[str, Any] | None = None,
        by: Source,
    ) -> Schedule:
        """Let a kind run by itself; an empty line puts its schedule out of force, also one of the configuration.

        Raises:
            NotFound: There is no such kind.
            Invalid: The line, the time zone, the subject or the parameters cannot be.
        """
        traits = self._kinds.get(kind)
        checked_subject(traits, subject)
        wanted = checked_parameters(traits, parameters or {})
        next_at = time_of_next(cron, time_zone) if cron else None

        async def work(tx: Transaction) -> Schedule:
            await rows.put(
                tx,
                kind=kind,
                subject=subject,
                cron=cron,
                time_zone=time_zone,
                parameters=wanted,
                origin=Origin.PERSON,
                next_at=next_at,
            )
            detail = {"subject": subject, "cron": cron, "time_zone": time_zone, "parameters": dict(wanted)}
            await events.add(tx, events.UPDATE, by=by, subject=f"schedule:{kind}", detail=detail)
            found = await rows.find(tx, kind, subject)
            assert found is not None
            return found

        return await self._metadata.write(work, name="set a schedule")

    async def reset(self, kind: str, *, subject: str = "", by: Source) -> None:
        """Remove what a person set: the schedule is again that of the configuration or of the kind, if it has one.

        Raises:
            NotFound: There is no such kind, or no schedule.
        """
        traits = self._kinds.get(kind)

        async def work(tx: Transaction) -> None:
            if not await rows.remove(tx, kind, subject):
                raise NotFound(f"{kind} has no schedule{f' for {subject}' if subject else ''}")
            line = "" if subject else traits.schedule
            if line:
                await rows.put(
                    tx,
                    kind=kind,
                    cron=line,
                    parameters=traits.parameters,
                    origin=Origin.CONFIGURATION,
                    next_at=time_of_next(line),
                )
            await events.add(tx, events.DELETE, by=by, subject=f"schedule:{kind}", detail={"subject": subject})

        await self._metadata.write(work, name="reset a schedule")


def time_of_next(cron: str, time_zone: str = "UTC") -> int:
    """Return when a line next says to run, in microseconds since the epoch.

    Raises:
        Invalid: The line or the time zone cannot be.
    """
    try:
        return next_time(cron, time_zone, clock.now())
    except TimetableInvalid as error:
        raise Invalid(str(error)) from None
