"""Runs a policy: over each repository of its project that a rule is about, one by one.

In a repository all verdicts are written down first, then what no rule keeps is removed. A run that was interrupted goes
on with the repository that it was in: verdicts that were written stand, unless the rules were changed since.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from typing import Any, Final

from entrepot.lifecycle.immutability.locks import within_project
from entrepot.lifecycle.retention import rules as rules_
from entrepot.lifecycle.retention.candidates import Candidates
from entrepot.lifecycle.retention.evaluation import Candidate, Evaluation, Verdict
from entrepot.lifecycle.retention.policies import KIND, subject_of
from entrepot.lifecycle.retention.removing import Removing
from entrepot.lifecycle.retention.rules import Rule
from entrepot.metadata import (
    clock,
    events,
    projects,
    retention_candidates,
    retention_policies,
    retention_tasks,
    schedules,
)
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.job_runs import State
from entrepot.metadata.projects import ProjectRecord
from entrepot.metadata.repositories import RepositoryRecord
from entrepot.metadata.retention_policies import PolicyRecord
from entrepot.metadata.retention_tasks import PIECE, StoredVerdict, TaskRecord
from entrepot.oci.errors import Unsupported
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.trash import new_deletion
from entrepot.telemetry.progress import Progress

_REPOSITORIES: Final = 100

#: Says why nothing may be removed now, if so.
Gate = Callable[[], Awaitable[str | None]]
#: Lets everybody write down the pulls that are only counted in memory so far.
Settle = Callable[[Progress], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be done."""

    run: int  #: number of the run, under which it is written down
    policy_id: int
    dry_run: bool
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Runs policies."""

    metadata: Database
    settings: RegistrySettings
    gate: Gate
    settle: Settle

    async def run(self, request: Request, progress: Progress) -> dict[str, Any]:
        """Do it; return what was done, as plain JSON values.

        Raises:
            Stopped: Somebody asked for an end; what was removed is in the trash.
        """
        off = await self._off(request)
        policy = await retention_policies.find(self.metadata, request.policy_id)
        project = None if policy is None else await projects.find_by_id(self.metadata, policy.project_id)
        if policy is None or project is None:
            off = f"retention policy {request.policy_id} or its project is not there any more"
        if policy is None:  # its project was removed for good
            await self.metadata.write(partial(schedules.remove, kind=KIND, subject=subject_of(request.policy_id)))
        if off or policy is None or project is None:
            await progress.say(f"nothing is removed: {off}")
            return {"off": off}
        if any(rule.kind.by_pulls and not rule.disabled for rule in rules_.read(policy.rules)):
            await self.settle(progress)
        run = _Run(self, request, progress, project, policy)
        return await run.whole()

    async def _off(self, request: Request) -> str | None:
        if request.dry_run:
            return None
        try:
            self.settings.require_deletes()
        except Unsupported as error:
            return error.message
        return await self.gate()


class _Run:
    """One run of one policy."""

    def __init__(
        self,
        retention: Retention,
        request: Request,
        progress: Progress,
        project: ProjectRecord,
        policy: PolicyRecord,
    ) -> None:
        self._metadata = retention.metadata
        self._settings = retention.settings
        self._request = request
        self._progress = progress
        self._project = project
        self._policy = policy
        self._deletion = new_deletion()
        self._seen = 0

    async def whole(self) -> dict[str, Any]:
        """Go through the repositories."""
        async for repository in self._repositories():
            name = within_project(repository.name)
            rules = [
                (number, rule) for number, rule in enumerate(rules_.read(self._policy.rules), 1) if rule.is_about(name)
            ]
            if rules and repository.adopted:
                await self._repository(repository, rules)
        return await self._conclude()

    async def _repositories(self) -> AsyncIterator[RepositoryRecord]:
        last = ""
        while found := await retention_candidates.repositories_after(
            self._metadata, self._project.id, last, limit=_REPOSITORIES
        ):
            last = found[-1][1]
            for repository, _ in found:
                yield repository

    async def _repository(self, repository: RepositoryRecord, rules: Sequence[tuple[int, Rule]]) -> None:
        name = within_project(repository.name)
        begin = partial(retention_tasks.begin, run=self._request.run, repository_id=repository.id, repository=name)
        task = await self._metadata.write(begin, name="retention")
        if task.ended_at is not None:
            return
        if task.evaluated_at is None or task.evaluated_at < self._policy.updated_at:
            await self._evaluate(task, repository, rules)
        removed = 0 if self._request.dry_run else await self._remove(task, repository)
        await self._metadata.write(partial(retention_tasks.end, task=task.id, state=State.SUCCEEDED), name="retention")
        await self._say(task, removed)

    async def _evaluate(
        self, task: TaskRecord, repository: RepositoryRecord, rules: Sequence[tuple[int, Rule]]
    ) -> None:
        """Write down what becomes of each tag."""
        await self._metadata.write(partial(retention_tasks.forget_verdicts, task=task.id), name="retention")
        immutable = await self._settings.tag_rules.of(self._metadata, repository)
        grace = int(self._settings.grace_seconds * clock.MICROSECONDS)
        evaluation = Evaluation(rules, task.started_at, immutable, grace=grace)
        candidates = Candidates(self._metadata, repository.id)
        if evaluation.needs_ranks:
            async for page in candidates.pages():
                for candidate in page:
                    evaluation.rank(candidate)
                await self._step(0)
        verdicts = _Verdicts(self._metadata, task.id)
        async for some in self._judged(evaluation, candidates):
            await verdicts.add(some)
            await self._step(len(some))
        await verdicts.finish()

    async def _judged(self, evaluation: Evaluation, candidates: Candidates) -> AsyncIterator[list[Verdict]]:
        belonging: list[Candidate] = []
        async for page in candidates.pages():
            belonging += [one for one in page if one.belongs_to is not None]
            yield [evaluation.judge(one) for one in page if one.belongs_to is None]
        for start in range(0, len(belonging), PIECE):
            yield [evaluation.belonging(one) for one in belonging[start : start + PIECE]]

    async def _remove(self, task: TaskRecord, repository: RepositoryRecord) -> int:
        removing = Removing(
            metadata=self._metadata,
            settings=self._settings,
            repository=repository,
            actor=self._request.actor,
            task=task.id,
            detail={"retention": self._request.policy_id, "run": self._request.run},
            deletion=self._deletion,
        )
        removed = 0
        for batch in removing.batches(await self._going(task)):
            removed += await removing.remove(batch)
            await self._step(0)
        return removed

    async def _going(self, task: TaskRecord) -> list[StoredVerdict]:
        going: list[StoredVerdict] = []
        for number in count():
            if not (piece := await retention_tasks.piece(self._metadata, task.id, number)):
                return going
            going += [verdict for verdict in piece if not verdict.kept]
        return going

    async def _step(self, seen: int) -> None:
        self._seen += seen
        await self._progress.step(self._seen)

    async def _say(self, task: TaskRecord, removed: int) -> None:
        now = await retention_tasks.find(self._metadata, self._request.run, task.id)
        if now is not None:
            goes = f"{now.total - now.retained} would go" if self._request.dry_run else f"{removed} went"
            await self._progress.say(f"{now.repository}: {now.total} looked at, {now.retained} kept, {goes}")

    async def _conclude(self) -> dict[str, Any]:
        totals = await retention_tasks.totals(self._metadata, self._request.run)
        result = {"dry_run": self._request.dry_run, **asdict(totals)}

        async def tell(tx: Transaction) -> None:
            subject = f"retention:{self._request.policy_id}"
            detail = {"run": self._request.run, **result}
            await events.add(
                tx, events.RETAIN, by=self._request.actor, project=self._project.name, subject=subject, detail=detail
            )

        if not self._request.dry_run:
            await self._metadata.write(tell, name="retention")
        return result


class _Verdicts:
    """Writes verdicts down, a piece at a time."""

    def __init__(self, metadata: Database, task: int) -> None:
        self._metadata = metadata
        self._task = task
        self._waiting: list[StoredVerdict] = []
        self._pieces = 0
        self._total = 0
        self._retained = 0

    async def add(self, verdicts: Sequence[Verdict]) -> None:
        """Take some; whole pieces are written."""
        self._waiting += [_stored(verdict) for verdict in verdicts]
        self._total += len(verdicts)
        self._retained += sum(verdict.kept for verdict in verdicts)
        while len(self._waiting) >= PIECE:
            await self._write(self._waiting[:PIECE])
            self._waiting = self._waiting[PIECE:]

    async def finish(self) -> None:
        """Write the rest, and that it is the rest."""
        if self._waiting:
            await self._write(self._waiting)

        async def work(tx: Transaction) -> None:
            await retention_tasks.evaluated(tx, self._task, total=self._total, retained=self._retained)

        await self._metadata.write(work, name="retention")

    async def _write(self, piece: list[StoredVerdict]) -> None:
        content = retention_tasks.packed(piece)
        add = partial(retention_tasks.add_piece, task=self._task, number=self._pieces, content=content)
        await self._metadata.write(add, name="retention")
        self._pieces += 1


def _stored(verdict: Verdict) -> StoredVerdict:
    one = verdict.candidate
    return StoredVerdict(
        one.tag, one.digest, one.manifest_id, one.pushed_at, verdict.kept, verdict.rule, verdict.reason
    )
