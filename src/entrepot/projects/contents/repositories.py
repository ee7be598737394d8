"""Repositories: listed, looked at, described and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.access.faults import NotFound, require_unchanged
from entrepot.access.model import Principal
from entrepot.access.permissions import Permission
from entrepot.access.policy import Policy
from entrepot.access.reachable_projects import reach_of
from entrepot.metadata import events
from entrepot.metadata.contents import kept_sums, repository_lists
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.contents.repository_lists import RepositoryEntry
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.oci.reference import RepositoryName
from entrepot.projects.contents.artifacts import Artifacts
from entrepot.projects.contents.model import Repository
from entrepot.projects.contents.names import Names
from entrepot.registry.adoption import AdoptionGate
from entrepot.registry.model import Actor
from entrepot.registry.repositories import Repositories as RegistryRepositories

LIST: Final = Permission("repository:list")
#: Artifacts of each repository in a list are counted up to here, while they are not all written down.
COUNTED: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Repositories:
    """The use cases about repositories; whether the caller may, the caller's side has asked before."""

    metadata: Database
    policy: Policy
    gate: AdoptionGate
    names: Names
    artifacts: Artifacts
    registry: RegistryRepositories

    async def of_project(self, project_id: int, selection: Selection) -> Listed[Repository]:
        """Return a page of a project's repositories."""
        await self.gate.names_known()
        found = await repository_lists.of_project(self.metadata, project_id, selection)
        return Listed(await self._views(found.items), found.total)

    async def readable(self, principal: Principal, selection: Selection) -> Listed[Repository]:
        """Return a page of the repositories in projects whose repositories a principal may list."""
        await self.gate.names_known()
        reach = await reach_of(self.policy, principal, LIST)
        if reach.everywhere:
            found = await repository_lists.every(self.metadata, selection)
        else:
            found = await repository_lists.visible(
                self.metadata, selection, names=reach.names, public=reach.public, internal=reach.internal
            )
        return Listed(await self._views(found.items), found.total)

    async def view(self, repository: RepositoryRecord) -> Repository:
        """Return all that is told of a repository.

        Raises:
            NotFound: It has gone in the meantime.
        """
        entry = await repository_lists.find(self.metadata, repository.id)
        if entry is None:
            raise NotFound(f"there is no repository {repository.name}")
        return (await self._views([entry]))[0]

    async def describe(
        self, repository: RepositoryRecord, description: str, *, by: Source, expected: int | None = None
    ) -> None:
        """Say what a repository is for.

        Raises:
            NotFound: It has gone in the meantime.
            PreconditionFailed: It was changed, or pushed to, since `expected`.
        """

        async def work(tx: Transaction) -> None:
            current = await repository_lists.find(tx, repository.id)
            if current is None:
                raise NotFound(f"there is no repository {repository.name}")
            require_unchanged(f"repository {current.name}", _changed_at(current), expected)
            await repository_lists.describe(tx, repository.id, description)
            name = repository.name
            await events.add(tx, events.UPDATE, by=by, repository=name, subject=f"repository:{name}")

        await self.metadata.write(work, name="describe repository")

    async def delete(self, repository: RepositoryRecord, *, by: Actor) -> None:
        """Delete a repository with all that is in it.

        Raises:
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        await self.registry.delete(RepositoryName(repository.name), actor=by)

    async def _views(self, entries: Sequence[RepositoryEntry]) -> list[Repository]:
        counted = await kept_sums.complete(self.metadata, kept_sums.ARTIFACTS)
        return [
            Repository(
                id=entry.id,
                project_id=entry.project_id,
                name=await self.names.called(entry.name),
                description=entry.description or "",
                created_at=entry.created_at,
                updated_at=_changed_at(entry),
                pull_count=entry.pull_count,
                artifact_count=entry.artifact_count if counted else await self.artifacts.count(entry.id, most=COUNTED),
            )
            for entry in entries
        ]


def _changed_at(entry: RepositoryEntry) -> int:
    return max(entry.updated_at, entry.pushed_at or 0, entry.created_at)
