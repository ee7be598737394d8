"""Decides about all tags of one repository, and writes down the verdicts, a piece at a time.

The tags are read by pages: once to see what numbers and belongings there are, then to judge what stands for itself,
and where there is any, once more to judge what belongs to something. Nothing is held but row ids and one page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from entrepot.lifecycle.retention.candidates import Candidates
from entrepot.lifecycle.retention.evaluation import Evaluation, Verdict
from entrepot.lifecycle.retention.policies import require_unchanged
from entrepot.lifecycle.retention.rules import Rule
from entrepot.lifecycle.retention.verdict_expiry import forget_task
from entrepot.metadata import clock
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import retention_tasks, retention_verdicts
from entrepot.metadata.lifecycle.retention_policies import PolicyRecord
from entrepot.metadata.lifecycle.retention_tasks import TaskRecord
from entrepot.metadata.lifecycle.retention_verdicts import PIECE, StoredVerdict
from entrepot.registry.settings import RegistrySettings

#: Is told how many candidates were judged; raises `Stopped` when somebody asked for an end.
Step = Callable[[int], Awaitable[None]]
_NAME: Final = "retention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """One repository in one run."""

    metadata: Database
    settings: RegistrySettings
    repository: RepositoryRecord
    policy: PolicyRecord
    rules: Sequence[tuple[int, Rule]]  #: those about the repository, with their numbers
    task: TaskRecord
    step: Step

    async def run(self) -> None:
        """Do it, from the beginning also where an earlier attempt wrote some.

        Raises:
            PolicyChanged: The policy said something else before all was decided, or is gone.
            Stopped: Somebody asked for an end.
        """
        await forget_task(self.metadata, self.task)
        immutable = await self.settings.tag_rules.of(self.metadata, self.repository)
        grace = int(self.settings.grace_seconds * clock.MICROSECONDS)
        evaluation = Evaluation(self.rules, self.task.started_at, immutable, grace=grace)
        candidates = Candidates(self.metadata, self.repository.id)
        await self._survey(evaluation, candidates)
        verdicts = _Verdicts(self.metadata, self.task.id)
        async for some in self._judged(evaluation, candidates):
            await verdicts.add(some)
            await self.step(len(some))
        await verdicts.finish(self.policy)

    async def _survey(self, evaluation: Evaluation, candidates: Candidates) -> None:
        async for page in candidates.pages():
            for candidate in page:
                evaluation.survey(candidate)
            await self.step(0)
        new = evaluation.hold(evaluation.wanted())
        while new:
            new = evaluation.hold(await candidates.subjects_of(new))
            await self.step(0)

    async def _judged(self, evaluation: Evaluation, candidates: Candidates) -> AsyncIterator[list[Verdict]]:
        belonging = 0
        async for page in candidates.pages():
            alone = [evaluation.judge(one) for one in page if one.belongs_to is None]
            belonging += len(page) - len(alone)
            yield alone
        if belonging:
            async for page in candidates.tagged():
                yield [evaluation.belonging(one) for one in page if one.belongs_to is not None]


class _Verdicts:
    """Writes verdicts down, in whole pieces."""

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

    async def finish(self, policy: PolicyRecord) -> None:
        """Write the rest, and that it is the rest, unless the policy was changed.

        Raises:
            PolicyChanged: It was, or is gone.
        """
        if self._waiting:
            await self._write(self._waiting)

        async def work(tx: Transaction) -> None:
            await require_unchanged(tx, policy)
            await retention_tasks.evaluated(tx, self._task, total=self._total, retained=self._retained)

        await self._metadata.write(work, name=_NAME)

    async def _write(self, piece: list[StoredVerdict]) -> None:
        content = retention_verdicts.packed(piece)
        add = partial(retention_verdicts.add_piece, task=self._task, number=self._pieces, content=content)
        await self._metadata.write(add, name=_NAME)
        self._pieces += 1


def _stored(verdict: Verdict) -> StoredVerdict:
    one = verdict.candidate
    return StoredVerdict(
        one.tag, one.digest, one.manifest_id, one.pushed_at, verdict.kept, verdict.rule, verdict.reason
    )
