"""Takes away what no rule keeps: into the trash, as every other delete, some at a time.

Between the verdict and the removal somebody may have pushed, tagged or protected something. So each manifest is looked
at again under its lock: a tag that was pushed since stays, and so does a manifest that was, that has a tag, that an
index lists, or that belongs to something that is there. Of a repository that was deleted since, nothing is removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from entrepot.lifecycle.retention.candidates import named_by
from entrepot.metadata import manifests, repositories, retention_candidates, retention_tasks
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.repositories import RepositoryRecord
from entrepot.metadata.retention_tasks import StoredVerdict
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.model import Actor
from entrepot.registry.ports import RuleOf
from entrepot.registry.removal import Removal
from entrepot.registry.settings import RegistrySettings

#: Manifests of one transaction, and tags of one manifest that go without it.
_AT_ONCE: Final = 20
_TAGS: Final = 100


@dataclass(slots=True)
class _Going:
    """A manifest, and those of its tags that no rule keeps; without any it has none."""

    digest: str
    manifest_id: int
    pushed_at: int  #: the manifest, or one of the tags
    tags: dict[str, int] = field(default_factory=dict)  #: when each was pushed


@dataclass(frozen=True, slots=True, kw_only=True)
class Removing:
    """Removes from one repository."""

    metadata: Database
    settings: RegistrySettings
    repository: RepositoryRecord
    actor: Actor
    task: int | None  #: which task counts it, if one does
    detail: dict[str, object]  #: for the audit log
    deletion: str  #: what goes together

    def batches(self, verdicts: Sequence[StoredVerdict]) -> Iterator[list[_Going]]:
        """Return what goes, in pieces that one transaction removes each."""
        going: dict[int, _Going] = {}
        for verdict in verdicts:
            entry = going.setdefault(
                verdict.manifest_id, _Going(verdict.digest, verdict.manifest_id, verdict.pushed_at)
            )
            if verdict.tag is not None:
                entry.tags[verdict.tag] = verdict.pushed_at
        batch: list[_Going] = []
        for entry in going.values():
            batch.append(entry)
            if len(batch) == _AT_ONCE or sum(len(one.tags) for one in batch) >= _TAGS:
                yield batch
                batch = []
        if batch:
            yield batch

    async def remove(self, batch: Sequence[_Going]) -> int:
        """Remove a piece; return how many tags, and manifests without any, went.

        Raises:
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        self.settings.require_deletes()
        return await self.metadata.write(partial(self._remove, batch), name="retention")

    async def _remove(self, batch: Sequence[_Going], tx: Transaction) -> int:
        held = await repositories.hold(tx, self.repository.name)
        if held is None or held.id != self.repository.id:  # deleted since; one of that name is another one
            return 0
        rule_of = await self.settings.tag_rules.of(tx, self.repository)
        removed = sum([await self._one(tx, entry, rule_of) for entry in batch])
        if removed and self.task is not None:
            await retention_tasks.count(tx, self.task, removed)
        return removed

    async def _one(self, tx: Transaction, entry: _Going, rule_of: RuleOf | None) -> int:
        standing = await retention_candidates.locked(tx, entry.manifest_id)
        if standing is None or standing.repository_id != self.repository.id:
            return 0
        if not entry.tags and standing.pushed_at != entry.pushed_at:
            return 0
        now = await retention_candidates.tags_now(tx, entry.manifest_id)
        names = [
            name
            for name, pushed_at in entry.tags.items()
            if now.get(name) == pushed_at and (rule_of is None or rule_of(name) is None)
        ]
        if bool(names) != bool(entry.tags) or await self._belongs(tx, names, standing.subject):
            return 0
        if len(names) < len(now) or await manifests.parents(tx, entry.manifest_id):
            return await self._untag(tx, names)
        await self._removal().delete_manifest(Digest.parse(entry.digest), tx)
        return max(1, len(names))

    async def _belongs(self, tx: Transaction, names: Sequence[str], subject: str | None) -> bool:
        """Tell whether something is there that a manifest belongs to, by its subject or by a tag of it."""
        leaders = {subject, *(named_by(name) for name in names)} - {None}
        return bool(leaders) and bool(
            await retention_candidates.named(tx, self.repository.id, [one for one in leaders if one])
        )

    async def _untag(self, tx: Transaction, names: Sequence[str]) -> int:
        for name in names:
            await self._removal().delete_tag(Tag.parse(name), tx)
        return len(names)

    def _removal(self) -> Removal:
        return Removal(
            name=RepositoryName(self.repository.name),
            actor=self.actor,
            settings=self.settings,
            deletion=self.deletion,
            detail=self.detail,
        )
