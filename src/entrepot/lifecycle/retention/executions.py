"""What runs of a policy did: the runs themselves, their part in each repository, and the verdict on each tag."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import Final

from entrepot.access.faults import NotFound
from entrepot.lifecycle.retention.policies import KIND, subject_of
from entrepot.lifecycle.retention.verdict_expiry import RUNS, VERDICTS
from entrepot.metadata.database import Database
from entrepot.metadata.filtering import Condition, Listed, Match, Selection
from entrepot.metadata.jobs import job_runs
from entrepot.metadata.jobs.job_runs import Run
from entrepot.metadata.lifecycle import retention_tasks, retention_verdicts
from entrepot.metadata.lifecycle.retention_tasks import TaskRecord
from entrepot.metadata.lifecycle.retention_verdicts import PIECE, StoredVerdict

#: What is said in place of verdicts that are not kept any more.
FORGOTTEN: Final = (
    "what was decided about each tag is not kept any more: only that of a policy's "
    f"latest {RUNS} runs, {VERDICTS:,} verdicts at most"
)


@dataclass(frozen=True, slots=True)
class Executions:
    """The use cases about what was done; whether the caller may, the caller's side has asked before."""

    metadata: Database

    async def page(self, policy_id: int, selection: Selection) -> Listed[Run]:
        """Return a page of the runs of a policy, the newest first."""
        ours = [_equal("kind", KIND), _equal("subject", subject_of(policy_id))]
        wanted = Selection(
            conditions=(*selection.conditions, *ours),
            order=selection.order,
            limit=selection.limit,
            offset=selection.offset,
        )
        return await job_runs.page(self.metadata, wanted)

    async def get(self, policy_id: int, run_id: int) -> Run:
        """Return a run of a policy.

        Raises:
            NotFound: There is none of this number.
        """
        found = await job_runs.find(self.metadata, run_id)
        if found is None or (found.kind, found.subject) != (KIND, subject_of(policy_id)):
            raise NotFound(f"retention policy {policy_id} has no execution {run_id}; it may be too long ago")
        return found

    async def tasks(self, policy_id: int, run_id: int, selection: Selection) -> Listed[TaskRecord]:
        """Return a page of what a run did in each repository.

        Raises:
            NotFound: As `get`.
        """
        await self.get(policy_id, run_id)
        return await retention_tasks.page(self.metadata, run_id, selection)

    async def task(self, policy_id: int, run_id: int, task_id: int) -> TaskRecord:
        """Return what a run did in one repository.

        Raises:
            NotFound: As `get`, or the run has no task of this number.
        """
        await self.get(policy_id, run_id)
        found = await retention_tasks.find(self.metadata, run_id, task_id)
        if found is None:
            raise NotFound(f"execution {run_id} has no task {task_id}")
        return found

    async def verdicts(self, task: TaskRecord) -> AsyncIterator[list[StoredVerdict]]:
        """Give all verdicts of a task, a piece at a time."""
        for number in count():
            if not (piece := await retention_verdicts.piece(self.metadata, task.id, number)):
                return
            yield piece

    async def some_verdicts(self, task: TaskRecord, *, offset: int, limit: int) -> list[StoredVerdict]:
        """Return some verdicts of a task, in their order.

        Raises:
            NotFound: They were forgotten.
        """
        found: list[StoredVerdict] = []
        first = offset // PIECE
        for number in range(first, (offset + limit - 1) // PIECE + 1):
            found += await retention_verdicts.piece(self.metadata, task.id, number)
        if not found and offset < task.total:
            raise NotFound(FORGOTTEN)
        start = offset - first * PIECE
        return found[start : start + limit]


def line_of(verdict: StoredVerdict) -> str:
    """Return a verdict for people."""
    what = "kept   " if verdict.kept else "removed"
    by = "" if verdict.rule is None else f"rule {verdict.rule}: "
    return f"{what} {verdict.tag or '(no tag)'} {verdict.digest} {by}{verdict.reason}"


def _equal(field: str, value: str) -> Condition:
    return Condition(field=field, match=Match.EQUAL, values=(value,))
