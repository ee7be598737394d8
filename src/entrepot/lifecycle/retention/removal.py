"""Takes away what no rule keeps: into the trash, as every other delete, some at a time.

Between the verdict and the removal somebody may have pushed, tagged or protected something, or changed the rules. So
each manifest is looked at again under its lock: a tag that was pushed since stays, and so does a manifest that was,
that has a tag, that an index lists, or that belongs to something that is there. Of a repository that was deleted since,
nothing is removed, and nothing by rules that are others now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from entrepot.lifecycle.retention.candidates import named_by
from entrepot.lifecycle.retention.policies import require_unchanged
from entrepot.lifecycle.retention.removal_batches import TAGS, Gathering, Going
from entrepot.metadata.contents import manifests, repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.lifecycle import retention_candidates, retention_tasks
from entrepot.metadata.lifecycle.retention_candidates import Standing
from entrepot.metadata.lifecycle.retention_policies import PolicyRecord
from entrepot.metadata.lifecycle.retention_verdicts import StoredVerdict
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.model import Actor
from entrepot.registry.ports import RuleOf
from entrepot.registry.removal import Removal
from entrepot.registry.settings import RegistrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Removing:
    """Removes from one repository."""

    metadata: Database
    settings: RegistrySettings
    repository: RepositoryRecord
    actor: Actor
    detail: Mapping[str, object]  #: for the audit log
    deletion: str  #: what goes together
    policy: PolicyRecord | None = None  #: whose rules say so, if any do
    task: int | None = None  #: which task counts it, if one does

    async def remove_all(self, verdicts: Iterable[StoredVerdict]) -> int:
        """Remove what goes by a few verdicts; return how many tags, and manifests without any, went.

        Raises:
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        gathering = Gathering()
        return sum(
            [await self.remove(batch) for some in (gathering.take(verdicts), gathering.rest()) for batch in some]
        )

    async def remove(self, batch: Sequence[Going]) -> int:
        """Remove a batch; return how many tags, and manifests without any, went.

        Raises:
            PolicyChanged: The policy says something else now, or is gone.
            Unsupported: Deleting is switched off, or the registry is read-only.
        """
        removed, left = 0, list(batch)
        while left:
            self.settings.require_deletes()
            some, left = await self.metadata.write(partial(self._remove, left), name="retention")
            removed += some
        return removed

    async def _remove(self, batch: Sequence[Going], tx: Transaction) -> tuple[int, list[Going]]:
        """Return how many went, and what is left for another transaction."""
        if self.policy is not None:
            await require_unchanged(tx, self.policy)
        held = await repositories.hold(tx, self.repository.name)
        if held is None or held.id != self.repository.id:  # deleted since; one of that name is another one
            return 0, []
        rule_of = await self.settings.tag_rules.of(tx, self.repository)
        done = [await self._one(tx, entry, rule_of) for entry in batch]
        removed = sum(some for some, _ in done)
        if removed and self.task is not None:
            await retention_tasks.count(tx, self.task, removed)
        return removed, [left for _, left in done if left is not None]

    async def _one(self, tx: Transaction, entry: Going, rule_of: RuleOf | None) -> tuple[int, Going | None]:
        standing = await retention_candidates.locked(tx, entry.manifest_id)
        if standing is None or standing.repository_id != self.repository.id:
            return 0, None
        now = await self._tags_now(tx, entry)
        names = [
            name
            for name, pushed_at in entry.tags.items()
            if now.get(name) == pushed_at and (rule_of is None or rule_of(name) is None)
        ]
        if _changed(entry, names, standing) or await self._belongs(tx, names, standing.subject):
            return 0, None
        if len(names) < len(now) or await manifests.parents(tx, entry.manifest_id):
            return await self._untag(tx, entry, names)
        await self._removal().delete_manifest(Digest.parse(entry.digest), tx)
        return max(1, len(names)), None

    async def _tags_now(self, tx: Transaction, entry: Going) -> Mapping[str, int]:
        """Return when tags of a manifest were pushed, locked: all that are to go, and others if it has any."""
        limit = len(entry.tags) + TAGS
        now = await retention_candidates.tags_now(tx, entry.manifest_id, limit=limit)
        if len(now) == limit and entry.tags:
            now |= await retention_candidates.tags_named(tx, entry.manifest_id, list(entry.tags))
        return now

    async def _untag(self, tx: Transaction, entry: Going, names: Sequence[str]) -> tuple[int, Going | None]:
        """Let some tags go without their manifest, and leave the others for another transaction."""
        for name in names[:TAGS]:
            await self._removal().delete_tag(Tag.parse(name), tx)
        rest = {name: entry.tags[name] for name in names[TAGS:]}
        return min(len(names), TAGS), replace(entry, tags=rest) if rest else None

    async def _belongs(self, tx: Transaction, names: Iterable[str], subject: str | None) -> bool:
        """Tell whether something is there that a manifest belongs to, by its subject or by a tag of it."""
        leaders = {subject, *(named_by(name) for name in names)} - {None}
        return bool(leaders) and bool(
            await retention_candidates.named(tx, self.repository.id, [one for one in leaders if one])
        )

    def _removal(self) -> Removal:
        return Removal(
            name=RepositoryName(self.repository.name),
            actor=self.actor,
            settings=self.settings,
            deletion=self.deletion,
            detail=self.detail,
        )


def _changed(entry: Going, names: Sequence[str], standing: Standing) -> bool:
    """Tell whether none of the tags that were to go may go any more, or a manifest without any was pushed since."""
    return not names if entry.tags else standing.pushed_at != entry.pushed_at
