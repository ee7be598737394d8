"""A registry with a trash, over each database, and policies for its projects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import bindparam, update

from entrepot.access.faults import Invalid
from entrepot.lifecycle.retention.executions import Executions
from entrepot.lifecycle.retention.policies import Policies, PolicyText
from entrepot.lifecycle.retention.policy_run import Retention
from entrepot.lifecycle.retention.repository_visits import Request
from entrepot.lifecycle.retention.rules import RuleText
from entrepot.lifecycle.selectors import Selector
from entrepot.metadata import clock
from entrepot.metadata.contents import repositories
from entrepot.metadata.database import Transaction
from entrepot.metadata.filtering import Selection
from entrepot.metadata.jobs import job_runs
from entrepot.metadata.jobs.job_runs import Wanted
from entrepot.metadata.lifecycle.retention_tasks import TaskRecord
from entrepot.metadata.lifecycle.retention_verdicts import StoredVerdict
from entrepot.metadata.query import Query
from entrepot.metadata.tables import manifest_expiry, manifests, tags
from entrepot.oci.reference import RepositoryName
from entrepot.telemetry.progress import Progress, Unwatched
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import Bin, bin_, kit, postgres_url

__all__ = ["bin_", "kit", "postgres_url"]

_AGE_TAG = Query(
    update(tags)
    .where(tags.c.repository_id == bindparam("repository"), tags.c.name == bindparam("tag"))
    .values(updated_at=tags.c.updated_at - bindparam("by")),
    "test.age_tag",
)
_AGE_MANIFESTS = Query(update(manifests).values(created_at=manifests.c.created_at - bindparam("by")), "test.age")
_DUE_NOW = Query(update(manifest_expiry).values(due_at=0), "test.due_now")
DAY = 24 * 3600 * clock.MICROSECONDS


def rule(
    template: str, value: int | None = None, pattern: str = "**", *, untagged: bool = False, **more: Any
) -> RuleText:
    """Write a rule about tags, of all repositories unless one is named."""
    selector = Selector(decoration="matches", pattern=pattern, extras=f'{{"untagged":{str(untagged).lower()}}}')
    scope = Selector(decoration="repoMatches", pattern=more.pop("repositories", "**"))
    params = {} if value is None else {template: value}
    return RuleText(template=template, params=params, tags=[selector], repositories=[scope], **more)


@dataclass
class Keeper:
    """What keeps and removes tags by rules."""

    bin: Bin
    gate: str | None = None
    settled: int = 0
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def policies(self) -> Policies:
        """The policies."""
        return Policies(self.bin.database, _next)

    @property
    def executions(self) -> Executions:
        """What was done."""
        return Executions(self.bin.database)

    @property
    def retention(self) -> Retention:
        """What runs them."""
        return Retention(metadata=self.bin.database, settings=self.bin.settings, gate=self._gate, settle=self._settle)

    async def _gate(self) -> str | None:
        return self.gate

    async def _settle(self, _progress: Progress) -> None:
        self.settled += 1

    async def change(self, policy: int, *rules: RuleText) -> None:
        """Let a policy say something else."""
        await self.policies.change(await self.bin.project(), policy, PolicyText(rules=rules), by=ALICE)

    async def policy(self, *rules: RuleText) -> int:
        """Give the project a policy, in place of the one it has."""
        project = await self.bin.project()
        known = await self.policies.of_project(project)
        if known is not None:
            await self.policies.delete(project, known.id, by=ALICE)
        return await self.policies.create(project, PolicyText(rules=rules), by=ALICE)

    async def ask(self, policy: int) -> int:
        """Ask for a run."""
        wanted = Wanted(kind="retention", subject=f"policy:{policy}")
        return await self.bin.database.write(lambda tx: job_runs.ask(tx, wanted))

    async def run(
        self, policy: int, *, dry_run: bool = False, progress: Progress | None = None, run: int | None = None
    ) -> int:
        """Run a policy; return the run's number."""
        number = await self.ask(policy) if run is None else run
        request = Request(run=number, policy_id=policy, dry_run=dry_run, actor=ALICE)
        self.results.append(await self.retention.run(request, progress or Unwatched()))
        return number

    async def tasks(self, policy: int, run: int) -> Sequence[TaskRecord]:
        """What a run did."""
        return (await self.executions.tasks(policy, run, Selection(limit=100))).items

    async def verdicts(self, policy: int, run: int, repository: str = "app") -> dict[str, StoredVerdict]:
        """What was decided about each tag, and about each digest without any."""
        (task,) = [one for one in await self.tasks(policy, run) if one.repository == repository]
        found = [one async for piece in self.executions.verdicts(task) for one in piece]
        return {one.tag or one.digest: one for one in found}

    async def age(self, tag: str, days: float, name: RepositoryName = NAME) -> None:
        """Let a tag be pushed so many days earlier."""
        repository = await repositories.find_exact(self.bin.database, name)
        assert repository is not None
        row_id = repository.id
        await self.bin.database.write(
            lambda tx: tx.execute(_AGE_TAG, repository=row_id, tag=tag, by=int(days * DAY)), name="age"
        )

    async def age_manifests(self, days: float) -> None:
        """Let all manifests be pushed so many days earlier."""
        await self.bin.database.write(lambda tx: tx.execute(_AGE_MANIFESTS, by=int(days * DAY)))


async def look_now(tx: Transaction) -> None:
    """Let it be time to look at what images say of themselves."""
    await tx.execute(_DUE_NOW)


def _next(cron: str) -> int:
    if cron == "never":
        raise Invalid("it says nothing")
    return clock.after(60)


@pytest.fixture
def keeper(bin_: Bin) -> Keeper:
    """A registry with a trash of a week."""
    return Keeper(bin_)
