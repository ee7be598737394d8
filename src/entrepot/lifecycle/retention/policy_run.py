"""Runs a policy: over each repository of its project that a rule is about, one by one (`repository_visits`).

A run that was interrupted goes on with the repository that it was in: verdicts that were written stand, unless the
rules were changed since. One whose policy is removed ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from entrepot.lifecycle.retention.policies import KIND, subject_of
from entrepot.lifecycle.retention.repository_visits import Request, Settle, Visiting
from entrepot.lifecycle.retention.verdict_expiry import Forgetting
from entrepot.metadata import events
from entrepot.metadata.contents import projects
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import schedules
from entrepot.metadata.lifecycle import retention_candidates, retention_policies, retention_tasks
from entrepot.metadata.lifecycle.retention_policies import PolicyRecord
from entrepot.oci.errors import Unsupported
from entrepot.registry.settings import RegistrySettings
from entrepot.telemetry.progress import Progress

_REPOSITORIES: Final = 100

#: Says why nothing may be removed now, if so.
Gate = Callable[[], Awaitable[str | None]]


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
        return await self._whole(request, progress, project, policy)

    async def _off(self, request: Request) -> str | None:
        if request.dry_run:
            return None
        try:
            self.settings.require_deletes()
        except Unsupported as error:
            return error.message
        return await self.gate()

    async def _whole(
        self, request: Request, progress: Progress, project: ProjectRecord, policy: PolicyRecord
    ) -> dict[str, Any]:
        visiting = Visiting(
            metadata=self.metadata,
            settings=self.settings,
            settle=self.settle,
            request=request,
            progress=progress,
            policy=policy,
        )
        await visiting.begin()
        off = None
        async for repository in self._repositories(project):
            # Each is judged by a time of its own, and the clock may have jumped since the last one.
            if (off := await self._off(request)) is not None:
                await progress.say(f"nothing more is removed: {off}")
                break
            if repository.adopted and not await visiting.visit(repository):
                break
        await Forgetting(self.metadata, policy.id, visiting.step).run()
        if visiting.is_over:
            off = f"retention policy {request.policy_id} was removed while this ran"
        return await self._conclude(request, project, off)

    async def _repositories(self, project: ProjectRecord) -> AsyncIterator[RepositoryRecord]:
        last = ""
        while found := await retention_candidates.repositories_after(
            self.metadata, project.id, last, limit=_REPOSITORIES
        ):
            last = found[-1][1]
            for repository, _ in found:
                yield repository

    async def _conclude(self, request: Request, project: ProjectRecord, off: str | None) -> dict[str, Any]:
        totals = await retention_tasks.totals(self.metadata, request.run)
        result = {"dry_run": request.dry_run, **asdict(totals), **({"off": off} if off else {})}

        async def tell(tx: Transaction) -> None:
            subject = f"retention:{request.policy_id}"
            detail = {"run": request.run, **result}
            await events.add(tx, events.RETAIN, by=request.actor, project=project.name, subject=subject, detail=detail)

        if not request.dry_run:
            await self.metadata.write(tell, name="retention")
        return result
