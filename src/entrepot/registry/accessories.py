"""What is about a manifest - signatures, SBOMs, attestations - goes with it, in the same transaction and deletion.

It is found by its subject, or by a tag that names the manifest's digest (`sha256-….sig`). Something else may need it:
then it stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from entrepot.metadata import events
from entrepot.metadata.contents import manifests, tags
from entrepot.metadata.contents.manifests import ManifestRow
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.metadata.jobs import outbox
from entrepot.oci.referrers import subject_of_tag, tags_beside
from entrepot.registry.model import Actor
from entrepot.registry.ports import TagRules
from entrepot.registry.trash import Disposal

#: Accessories of one transaction; whatever there is beyond is queued with the rest, and follows after the grace.
_MOST: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Accessories:
    """Takes the accessories of a manifest that is about to be taken from a repository, in one write transaction."""

    disposal: Disposal
    rules: TagRules
    actor: Actor
    going: set[str] = field(default_factory=set)  #: what they are about goes too

    async def take(self, tx: Transaction, digest: str, *, depth: int = 1) -> int:
        """Take what is about a manifest, and before that what is about that; return how many manifests went."""
        self.going.add(digest)
        taken = 0
        for row_id in await manifests.accessories(tx, self._home.id, digest, tags_beside(digest), limit=_MOST):
            if len(self.going) <= _MOST:
                taken += await self._one(tx, row_id, digest, depth)
        return taken

    @property
    def _home(self) -> RepositoryRecord:
        return self.disposal.repository

    async def _one(self, tx: Transaction, row_id: int, subject: str, depth: int) -> int:
        found = await manifests.locked_with_subject(tx, row_id)
        if found is None or found[0].repository_id != self._home.id:
            return 0
        manifest, names = found[0], await tags.of_manifest(tx, row_id)
        if manifest.digest in self.going or await self._stays(tx, manifest, found[1], names):
            return 0
        before = await self.take(tx, manifest.digest, depth=depth + 1)
        home, digest = self._home, manifest.digest
        if names:
            await tags.remember(tx, home.id, names, digest=digest, action=tags.DELETED, actor=self.actor.name)
            await tags.remove(tx, home.id, names)
        unread = await self._disposal(depth).manifest(tx, manifest, names)
        gone = {"repository": home.name, "digest": digest, "tags": names, "blobs": unread}
        await outbox.add(tx, outbox.MANIFEST_DELETED, **gone)
        detail = {"accessory_of": subject}
        await events.add(tx, events.DELETE, by=self.actor, repository=home.name, digest=digest, detail=detail)
        return before + 1

    def _disposal(self, depth: int) -> Disposal:
        """Keep it a moment longer in the trash than what it is about, whose end decides about both."""
        deletion = self.disposal.deletion
        if deletion is None:
            return self.disposal
        return replace(self.disposal, deletion=replace(deletion, expires_at=deletion.expires_at + depth))

    async def _stays(self, tx: Transaction, manifest: ManifestRow, subject: str | None, names: list[str]) -> bool:
        """Tell whether it has a tag of its own, a rule keeps one, an index lists it, or it is about something else."""
        subjects = [subject_of_tag(name) for name in names]
        if None in subjects or await manifests.parents(tx, manifest.id):
            return True
        rule_of = await self.rules.of(tx, self._home) if names else None
        if rule_of is not None and any(rule_of(name) is not None for name in names):
            return True
        others = {one for one in (subject, *subjects) if one is not None} - self.going
        return bool(await manifests.present(tx, self._home.id, sorted(others)))
