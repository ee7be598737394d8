"""Which tags projects keep: looked at, made, changed and taken away.

A policy belongs to a project, which has one at most and names it in its settings, as in Harbor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.access.faults import Invalid, NotFound
from entrepot.lifecycle.retention import rules as rules_
from entrepot.lifecycle.retention.rules import Rule, RuleText
from entrepot.metadata import events
from entrepot.metadata.contents import project_metadata
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.jobs import schedules
from entrepot.metadata.jobs.schedules import Origin
from entrepot.metadata.lifecycle import retention_policies as rows
from entrepot.metadata.lifecycle.retention_policies import PolicyRecord

#: The kind of job whose runs do it.
KIND: Final = "retention"
#: The setting of a project that names its policy.
SETTING: Final = "retention_id"
SCHEDULE: Final = "Schedule"
_TRIGGERS: Final = (SCHEDULE, "")


class PolicyChanged(Exception):
    """A policy says something else than it did, or is gone."""


#: Gives the next time at which a cron line says to run; raises `Invalid` for a line that says nothing.
NextTime = Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyText:
    """What people say of a policy."""

    rules: Sequence[RuleText]
    trigger: str = SCHEDULE
    cron: str = ""  #: when it runs by itself; empty: only when asked


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, as it is now."""

    id: int
    project_id: int
    rules: tuple[Rule, ...]
    trigger: str
    cron: str
    next_at: int | None  #: microseconds since the epoch


def subject_of(policy_id: int) -> str:
    """Return what the runs of a policy are about."""
    return f"policy:{policy_id}"


def policy_of(subject: str) -> int:
    """Return which policy a run is about."""
    return int(subject.removeprefix("policy:"))


class Policies:
    """The use cases about policies; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database, next_time: NextTime) -> None:
        self._metadata = metadata
        self._next_time = next_time

    async def find(self, policy_id: int) -> Policy | None:
        """Return a policy, if there is one of this number."""
        record = await rows.find(self._metadata, policy_id)
        return None if record is None else await self._shown(record)

    async def of_project(self, project: ProjectRecord) -> Policy | None:
        """Return the policy of a project, if it has one."""
        record = await rows.of_project(self._metadata, project.id)
        return None if record is None else await self._shown(record)

    async def create(self, project: ProjectRecord, text: PolicyText, *, by: Source) -> int:
        """Make a policy; return its number.

        Raises:
            Conflict: Two of its rules say the same.
            Invalid: The project has a policy, or this one says something that cannot be.
        """
        written, next_at = self._written(text)

        async def work(tx: Transaction) -> int:
            made = await rows.add(tx, project.id, rules=written, trigger=text.trigger)
            if made is None:
                raise Invalid(f"project {project.name} has a retention policy already; change that one")
            await project_metadata.put(tx, project.id, {SETTING: str(made)})
            await _set_schedule(tx, made, text.cron, next_at)
            await _tell(tx, events.CREATE, project, made, written, text.cron, by)
            return made

        return await self._metadata.write(work, name="create retention policy")

    async def change(self, project: ProjectRecord, policy_id: int, text: PolicyText, *, by: Source) -> None:
        """Change the policy of a project.

        Raises:
            Conflict: Two of its rules say the same.
            Invalid: It says something that cannot be.
            NotFound: It was removed meanwhile.
        """
        written, next_at = self._written(text)

        async def work(tx: Transaction) -> None:
            if not await rows.change(tx, policy_id, rules=written, trigger=text.trigger):
                raise NotFound(f"there is no retention policy {policy_id} any more")
            await _set_schedule(tx, policy_id, text.cron, next_at)
            await _tell(tx, events.UPDATE, project, policy_id, written, text.cron, by)

        await self._metadata.write(work, name="change retention policy")

    async def delete(self, project: ProjectRecord, policy_id: int, *, by: Source) -> None:
        """Take a policy away; what its runs did is still to be seen in the list of jobs.

        Raises:
            NotFound: It was removed meanwhile.
        """

        async def work(tx: Transaction) -> None:
            if not await rows.remove(tx, policy_id):
                raise NotFound(f"there is no retention policy {policy_id} any more")
            await project_metadata.remove(tx, project.id, SETTING)
            await schedules.remove(tx, KIND, subject_of(policy_id))
            await _tell(tx, events.DELETE, project, policy_id, None, "", by)

        await self._metadata.write(work, name="delete retention policy")

    def _written(self, text: PolicyText) -> tuple[str, int | None]:
        if text.trigger not in _TRIGGERS:
            raise Invalid(f"the kind of a trigger is {SCHEDULE}; without a cron line it runs only when asked")
        next_at = self._next_time(text.cron) if text.cron else None
        return rules_.written(rules_.checked(text.rules)), next_at

    async def _shown(self, record: PolicyRecord) -> Policy:
        schedule = await schedules.find(self._metadata, KIND, subject_of(record.id))
        return Policy(
            id=record.id,
            project_id=record.project_id,
            rules=rules_.read(record.rules),
            trigger=record.trigger,
            cron="" if schedule is None else schedule.cron,
            next_at=None if schedule is None else schedule.next_at,
        )


async def require_unchanged(reader: Reader, policy: PolicyRecord) -> None:
    """Go on only by the rules that a policy has.

    Raises:
        PolicyChanged: It has others now, or is gone.
    """
    now = await rows.find(reader, policy.id)
    if now is None or now.rules != policy.rules:
        raise PolicyChanged


async def _set_schedule(tx: Transaction, policy_id: int, cron: str, next_at: int | None) -> None:
    if not cron:
        await schedules.remove(tx, KIND, subject_of(policy_id))
        return
    await schedules.put(
        tx,
        kind=KIND,
        subject=subject_of(policy_id),
        cron=cron,
        parameters={"dry_run": False},
        origin=Origin.PERSON,
        next_at=next_at,
    )


async def _tell(
    tx: Transaction, kind: str, project: ProjectRecord, policy_id: int, rules: str | None, cron: str, by: Source
) -> None:
    detail = None if rules is None else {"rules": rules, "cron": cron}
    await events.add(tx, kind, by=by, project=project.name, subject=f"retention:{policy_id}", detail=detail)
