"""Repositories as a whole: deleted, with all that is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from entrepot.metadata import events, trash_namespaces
from entrepot.metadata.contents import repositories, tags
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.engine.low_priority_writes import write_behind
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import Deletion
from entrepot.oci.errors import NameUnknown, TagImmutable
from entrepot.oci.reference import RepositoryName
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor
from entrepot.registry.ports import RuleOf
from entrepot.registry.repository_removal import Emptying, OnStep, nobody
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.trash import at_once, deletion_in, new_deletion

#: Tags held against the rules at a time.
_STEP: Final = 1_000


@dataclass(frozen=True, slots=True)
class Seen:
    """When the tags of a repository were held against the rules: by the last event before, and which rules."""

    event: int
    rule_of: RuleOf | None


@dataclass(frozen=True, slots=True)
class Repositories:
    """The repositories of the registry."""

    metadata: Database
    lookup: Lookup
    settings: RegistrySettings

    async def delete(
        self,
        name: RepositoryName,
        *,
        actor: Actor,
        deletion: str | None = None,
        purging: bool = False,
        reason: str = "",
    ) -> None:
        """Delete a repository with all that is in it: nobody can reach it from one moment to the next.

        It goes into the trash as a whole, whatever its size. Where the trash keeps nothing, or when `purging`, it is
        then taken apart in small steps; when that is interrupted, whoever empties the trash goes on.

        Raises:
            NameUnknown: There is no such repository.
            TagImmutable: A rule of the project keeps one of its tags.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        found = await self.lookup.repository(name)
        putting = _PuttingAway(
            repository=found,
            actor=actor,
            settings=self.settings,
            deletion=deletion or new_deletion(),
            keeps_name=not await self.lookup.gate.is_complete(),
            seen=await self.look(found),
            purging=purging,
            reason=reason,
        )
        kept = await self.metadata.write(putting.run, name="delete repository")
        if not kept:
            await self.empty(found)

    async def look(self, repository: RepositoryRecord) -> Seen:
        """Hold all tags of a repository against the rules of its project, before a transaction that deletes it.

        Raises:
            TagImmutable: A rule keeps one of them.
        """
        event = await events.last_id(self.metadata)
        rule_of = await self.settings.tag_rules.of(self.metadata, repository)
        if rule_of is not None:
            await _require_movable(self.metadata, repository, rule_of)
        return Seen(event, rule_of)

    async def empty(self, repository: RepositoryRecord, on_step: OnStep = nobody) -> None:
        """Remove for good what is in a repository that was put into the trash, and itself, unless it was restored."""
        emptying = Emptying(repository, self.settings.grace_seconds)
        while not (step := await write_behind(self.metadata, emptying.step, name="empty repository")).done:
            await on_step(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PuttingAway:
    """Puts one repository into the trash, to be run in a write transaction."""

    repository: RepositoryRecord
    actor: Actor
    settings: RegistrySettings
    deletion: str
    #: While a folder is being adopted, what stands in it under this name must not be taken for something new.
    keeps_name: bool
    seen: Seen
    purging: bool
    reason: str  #: for the audit log

    async def run(self, tx: Transaction) -> bool:
        """Do it; False when the trash does not keep it."""
        repository = self.repository
        current = await repositories.find_by_id(tx, repository.id)
        if current is None or current.name != repository.name:
            raise NameUnknown(detail={"name": repository.name})
        await self._look_again(tx)
        kept = await self._deletion(tx)
        shadow = trash_namespaces.of_gone(repository.id) if kept is None else trash_namespaces.of_whole(repository.id)
        await repositories.rename(tx, repository.id, shadow)
        if self.keeps_name:
            await repositories.create(tx, repository.name, repository.project_id)
        await self._note(tx, kept or at_once(self.actor.name, self.deletion))
        await outbox.add(tx, outbox.REPOSITORY_CHANGED, repository=repository.name)
        kind = events.PURGE if self.purging else events.DELETE
        name = repository.name
        detail = {"reason": self.reason} if self.reason else None
        await events.add(tx, kind, by=self.actor, repository=name, subject=f"repository:{name}", detail=detail)
        return kept is not None

    async def _look_again(self, tx: Transaction) -> None:
        """Hold the tags against the rules here where they, or the rules, may have changed since."""
        rule_of = await self.settings.tag_rules.of(tx, self.repository)
        if rule_of is None:
            return
        if rule_of != self.seen.rule_of or await events.happened_since(tx, self.seen.event, self.repository.name):
            await _require_movable(tx, self.repository, rule_of)

    async def _deletion(self, tx: Transaction) -> Deletion | None:
        if self.purging:
            return None
        project, actor = self.repository.project_id, self.actor.name
        return await deletion_in(tx, project, self.settings, actor=actor, deletion=self.deletion)

    async def _note(self, tx: Transaction, deletion: Deletion) -> None:
        await trash.add(
            tx,
            deletion,
            kind=trash.REPOSITORY,
            project_id=self.repository.project_id,
            project=RepositoryName(self.repository.name).project,
            repository_id=self.repository.id,
            repository=self.repository.name,
            place_id=self.repository.id,
        )


async def _require_movable(reader: Reader, repository: RepositoryRecord, rule_of: RuleOf) -> None:
    last = ""
    while names := await tags.page(reader, repository.name, limit=_STEP, last=last):
        for name in names:
            if (rule := rule_of(name)) is not None:
                raise TagImmutable(name, rule)
        last = names[-1]
