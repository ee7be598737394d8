"""What a run does in one repository after the other, by the rules that the policy has at that moment.

All verdicts are written down first (`repository_evaluation`), then what no rule keeps is removed (`removal`), which
looks in each transaction whether the rules still hold. Where they were changed meanwhile, the repository is judged
anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from entrepot.lifecycle.immutability.locks import within_project
from entrepot.lifecycle.retention import rules as rules_
from entrepot.lifecycle.retention.policies import PolicyChanged
from entrepot.lifecycle.retention.removal import Removing
from entrepot.lifecycle.retention.removal_batches import Gathering
from entrepot.lifecycle.retention.repository_evaluation import Judging
from entrepot.lifecycle.retention.rules import Rule
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database
from entrepot.metadata.jobs.job_runs import State
from entrepot.metadata.lifecycle import retention_policies, retention_tasks, retention_verdicts
from entrepot.metadata.lifecycle.retention_policies import PolicyRecord
from entrepot.metadata.lifecycle.retention_tasks import TaskRecord
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.trash import new_deletion
from entrepot.telemetry.progress import Progress

#: Lets everybody write down the pulls that are only counted in memory so far.
Settle = Callable[[Progress], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be done."""

    run: int  #: number of the run, under which it is written down
    policy_id: int
    dry_run: bool
    actor: Actor


@dataclass(slots=True, kw_only=True)
class Visiting:
    """Visits repositories in one run."""

    metadata: Database
    settings: RegistrySettings
    settle: Settle
    request: Request
    progress: Progress
    policy: PolicyRecord  #: as it was when it was last looked at
    is_over: bool = False  #: it is gone
    deletion: str = field(default_factory=new_deletion)
    seen: int = 0

    async def begin(self) -> None:
        """Let pulls be written down, if rules look at them."""
        if any(rule.kind.by_pulls and not rule.disabled for rule in rules_.read(self.policy.rules)):
            await self.settle(self.progress)

    async def visit(self, repository: RepositoryRecord) -> bool:
        """Do what the policy says of a repository; False when it says nothing any more.

        Raises:
            Stopped: Somebody asked for an end; what was removed is in the trash.
        """
        name, task, anew = within_project(repository.name), None, False
        while True:
            anew |= await self._look_again(name)
            rules = _about(self.policy, name)
            if self.is_over or not rules:
                await self._end(task, State.STOPPED)
                return not self.is_over
            task = await self._begin(repository)
            try:
                if task.ended_at is None:
                    await self._work(task, repository, rules, anew=anew)
            except PolicyChanged:
                continue
            return True

    async def step(self, seen: int) -> None:
        """Count what was judged.

        Raises:
            Stopped: Somebody asked for an end.
        """
        self.seen += seen
        await self.progress.step(self.seen)

    async def _look_again(self, name: str) -> bool:
        """Take the policy as it is now; True, and said in the log, when that is another one."""
        before, now = self.policy, await retention_policies.find(self.metadata, self.policy.id)
        if now is None:
            self.is_over = True
            await self.progress.say(f"{name}: retention policy {before.id} was removed; nothing more goes by its rules")
            return True
        self.policy = now
        if now.rules == before.rules:
            return False
        await self.progress.say(f"{name}: retention policy {before.id} was changed; from here on its new rules hold")
        await self.begin()
        return True

    async def _begin(self, repository: RepositoryRecord) -> TaskRecord:
        name = within_project(repository.name)
        begin = partial(retention_tasks.begin, run=self.request.run, repository_id=repository.id, repository=name)
        return await self.metadata.write(begin, name="retention")

    async def _end(self, task: TaskRecord | None, state: State) -> None:
        if task is not None:
            await self.metadata.write(partial(retention_tasks.end, task=task.id, state=state), name="retention")

    async def _work(
        self, task: TaskRecord, repository: RepositoryRecord, rules: Sequence[tuple[int, Rule]], *, anew: bool
    ) -> None:
        """Decide and remove.

        Raises:
            PolicyChanged: The rules are others now, or the policy is gone.
        """
        if anew or task.evaluated_at is None or task.evaluated_at < self.policy.updated_at:
            await Judging(
                metadata=self.metadata,
                settings=self.settings,
                repository=repository,
                policy=self.policy,
                rules=rules,
                task=task,
                step=self.step,
            ).run()
        removed = 0 if self.request.dry_run else await self._remove(task, repository)
        await self._end(task, State.SUCCEEDED)
        await self._say(task, removed)

    async def _remove(self, task: TaskRecord, repository: RepositoryRecord) -> int:
        removing = Removing(
            metadata=self.metadata,
            settings=self.settings,
            repository=repository,
            actor=self.request.actor,
            policy=self.policy,
            task=task.id,
            detail={"retention": self.request.policy_id, "run": self.request.run},
            deletion=self.deletion,
        )
        gathering, removed = Gathering(), 0
        for number in count():
            piece = await retention_verdicts.piece(self.metadata, task.id, number)
            for batch in gathering.take(piece) if piece else gathering.rest():
                removed += await removing.remove(batch)
                await self.step(0)
            if not piece:
                break
        return removed

    async def _say(self, task: TaskRecord, removed: int) -> None:
        now = await retention_tasks.find(self.metadata, self.request.run, task.id)
        if now is not None:
            goes = f"{now.total - now.retained} would go" if self.request.dry_run else f"{removed} went"
            await self.progress.say(f"{now.repository}: {now.total} looked at, {now.retained} kept, {goes}")


def _about(policy: PolicyRecord, name: str) -> list[tuple[int, Rule]]:
    """Return the rules about a repository, with their numbers."""
    return [(number, rule) for number, rule in enumerate(rules_.read(policy.rules), 1) if rule.is_about(name)]
