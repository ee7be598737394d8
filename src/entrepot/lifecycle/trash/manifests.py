"""A manifest that comes back with its tags, with what it lists and what refers to it.

What something needs comes before it, so that nothing is ever seen without its parts: a few manifests by one
transaction, many by several, with which whoever repeats the call goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from entrepot.access.faults import NotFound
from entrepot.lifecycle.trash.locations import drop_if_empty, target
from entrepot.lifecycle.trash.model import Restored
from entrepot.lifecycle.trash.quota import Quota
from entrepot.lifecycle.trash.related_manifests import in_order
from entrepot.lifecycle.trash.tag_restore import Retagged, Retagging
from entrepot.metadata import events
from entrepot.metadata.contents import manifests, repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import trash
from entrepot.oci.reference import RepositoryName
from entrepot.oci.referrers import subject_of_tag
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.tag_rules import require_movable
from entrepot.registry.trash import bring_back

#: Manifests of one transaction.
_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A manifest that is to be in a repository again."""

    repository: RepositoryName  #: as stored
    project_id: int  #: that has to be its project
    digest: str
    tags: tuple[str, ...] = ()
    replace: bool = False  #: tags that name something else now are moved, unless a rule keeps them
    insist: bool = False  #: and where a rule keeps one, nothing is done
    place_id: int | None = None  #: the shadow that it lies in, if any
    deletion: str = ""  #: what else went with it
    entries: tuple[int, ...] = ()  #: of the trash, which are done with then


@dataclass(frozen=True, slots=True)
class ManifestRestoring:
    """Brings manifests back."""

    metadata: Database
    lookup: Lookup
    settings: RegistrySettings
    quota: Quota

    async def restore(self, wanted: Wanted, *, by: Actor) -> Restored:
        """Do it.

        Raises:
            NotFound: The manifest is gone for good.
            PreconditionFailed: Its project is not there, or is another one, or too much would have to be restored.
            TagImmutable: A rule keeps a tag that was insisted on.
        """
        await self.lookup.prepare(wanted.repository)
        order = await self._order(wanted)
        result = Restored(wanted.repository.project, wanted.repository, wanted.digest)
        pieces = list(_pieces(order))
        for piece in pieces[:-1]:
            work = partial(self._bring, wanted, piece, by)
            result.add(await self.metadata.write(work, name="restore"), [], [])
        count, tagged = await self.metadata.write(partial(self._end, wanted, pieces[-1], by), name="restore")
        result.add(count, tagged.restored, tagged.aside)
        return result

    async def _order(self, wanted: Wanted) -> Sequence[str]:
        """Say what is to be brought; the last piece may be nothing but the tags."""
        lies = await self._lies(wanted)
        if not lies and await manifests.by_digest(self.metadata, wanted.repository, wanted.digest) is None:
            raise NotFound(f"manifest {wanted.digest} of {wanted.repository} is gone for good")
        if wanted.place_id is None:
            return []
        return await in_order(self.metadata, wanted.place_id, wanted.digest, wanted.deletion)

    async def _lies(self, wanted: Wanted) -> bool:
        place = None if wanted.place_id is None else await repositories.find_by_id(self.metadata, wanted.place_id)
        return place is not None and await manifests.by_digest(self.metadata, place.name, wanted.digest) is not None

    async def _bring(self, wanted: Wanted, digests: Sequence[str], by: Actor, tx: Transaction) -> int:
        """Bring some of them; return how many were brought."""
        repository = await target(tx, wanted.repository, wanted.project_id, self.quota)
        place = None if wanted.place_id is None else await repositories.hold_by_id(tx, wanted.place_id)
        count = 0
        for digest in digests if place is not None else ():
            assert place is not None
            row_id = await bring_back(tx, place, repository, digest)
            count += row_id is not None
            if row_id is not None and digest != wanted.digest:
                await self._tag_accessory(tx, wanted, repository, row_id, digest, by)
            await trash.forget_untagged(tx, place.id, digest)
        await self.quota.require_room(tx, repository.project_id)
        return count

    async def _tag_accessory(
        self, tx: Transaction, wanted: Wanted, repository: RepositoryRecord, manifest_id: int, digest: str, by: Actor
    ) -> None:
        """Give a signature back the tags that name what it signs."""
        assert wanted.place_id is not None
        went = [one for one in await trash.of_digest(tx, wanted.place_id, digest) if one.deletion == wanted.deletion]
        entries = [one for one in went if one.tags and all(map(subject_of_tag, one.tags))]
        names = [name for entry in entries for name in entry.tags]
        retagging = Retagging(repository=repository, rules=self.settings.tag_rules, actor=by.name, replace=False)
        tagged = await retagging.run(tx, names, manifest_id, digest)
        if tagged.restored:
            put = {"repository": repository.name, "digest": digest, "tags": tagged.restored, "blobs": []}
            await outbox.add(tx, outbox.MANIFEST_PUT, **put)
        await trash.remove(tx, [entry.id for entry in entries])

    async def _end(self, wanted: Wanted, digests: Sequence[str], by: Actor, tx: Transaction) -> tuple[int, Retagged]:
        """Bring the last of them, then the tags."""
        count = await self._bring(wanted, digests, by, tx)
        repository = await target(tx, wanted.repository, wanted.project_id, self.quota)
        row = await manifests.locked(tx, repository.id, wanted.digest)
        if row is None:
            raise NotFound(f"manifest {wanted.digest} of {wanted.repository} is gone for good")
        tagged = await self._tag(tx, wanted, repository, row.id, by)
        await trash.remove(tx, wanted.entries)
        if wanted.place_id is not None:
            await drop_if_empty(tx, wanted.place_id)
        await self._tell(tx, wanted, repository, tagged, by)
        return count, tagged

    async def _tag(
        self, tx: Transaction, wanted: Wanted, repository: RepositoryRecord, manifest_id: int, by: Actor
    ) -> Retagged:
        rules = self.settings.tag_rules
        if wanted.insist:
            await require_movable(rules, tx, repository, wanted.tags)
        retagging = Retagging(repository=repository, rules=rules, actor=by.name, replace=wanted.replace)
        return await retagging.run(tx, wanted.tags, manifest_id, wanted.digest)

    async def _tell(
        self, tx: Transaction, wanted: Wanted, repository: RepositoryRecord, tagged: Retagged, by: Actor
    ) -> None:
        name, digest = repository.name, wanted.digest
        if tagged.restored:
            await outbox.add(tx, outbox.MANIFEST_PUT, repository=name, digest=digest, tags=tagged.restored, blobs=[])
        tag = tagged.restored[0] if len(tagged.restored) == 1 else None
        detail = {"tags": tagged.restored, "aside": tagged.aside}
        await events.add(tx, events.RESTORE, by=by, repository=name, digest=digest, tag=tag, detail=detail)


def _pieces(order: Sequence[str]) -> Iterator[list[str]]:
    """Cut into pieces of one transaction each; of nothing, one that is empty."""
    following = iter(order)
    yield list(islice(following, _AT_ONCE))
    while piece := list(islice(following, _AT_ONCE)):
        yield piece
