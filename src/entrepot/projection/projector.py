"""Following the outbox: each entry is written to the tree, in order, then removed.

One process projects at a time (the job worker, under a lease). Every step may be repeated: an entry says which names
to bring in line, and what they hold is read from the metadata when it is projected, not when it was queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from entrepot.metadata import blobs, manifests, outbox
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.outbox import OutboxEntry
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.files import TreeFiles

_ENTRIES_A_BATCH = 200

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Projector:
    """Writes what the outbox asks for."""

    metadata: Database
    files: TreeFiles

    async def run(self) -> int:
        """Project everything that is waiting; return the number of entries."""
        done = 0
        while entries := await outbox.oldest(self.metadata, _ENTRIES_A_BATCH):
            await self.project(entries)
            await self.metadata.write(partial(_forget, [entry.id for entry in entries]), name="outbox done")
            done += len(entries)
        return done

    async def project(self, entries: Iterable[OutboxEntry]) -> None:
        """Write these entries to the tree.

        Raises:
            OSError: The disk refused; what was written stays, and all of it may be repeated.
        """
        steps = [step for entry in entries for step in await self._steps(entry)]
        await asyncio.to_thread(_run, steps)

    async def _steps(self, entry: OutboxEntry) -> list[Step]:
        planners: dict[str, Callable[[RepositoryName, OutboxEntry], Awaitable[list[Step]]]] = {
            outbox.MANIFEST_PUT: self._manifest_put,
            outbox.MANIFEST_DELETED: self._manifest_deleted,
            outbox.TAG_DELETED: self._tag_deleted,
            outbox.BLOB_LINKED: self._blob,
            outbox.BLOB_UNLINKED: self._blob,
        }
        plan = planners.get(entry.topic)
        return [] if plan is None else await plan(RepositoryName.parse(str(entry.payload["repository"])), entry)

    async def _manifest_put(self, name: RepositoryName, entry: OutboxEntry) -> list[Step]:
        steps = await self._revision(name, _digest(entry))
        for tag in _tags(entry):
            steps += await self._tag(name, tag)
        return steps

    async def _manifest_deleted(self, name: RepositoryName, entry: OutboxEntry) -> list[Step]:
        """Tags first: a tag without its manifest is the only state in between that registry:2 would stumble over."""
        steps: list[Step] = []
        for tag in _tags(entry):
            steps += await self._tag(name, tag)
        return [*steps, *await self._revision(name, _digest(entry))]

    async def _tag_deleted(self, name: RepositoryName, entry: OutboxEntry) -> list[Step]:
        return await self._tag(name, Tag.parse(str(entry.payload["tag"])))

    async def _revision(self, name: RepositoryName, digest: Digest) -> list[Step]:
        row = await manifests.by_digest(self.metadata, name, str(digest))
        content = None if row is None else await manifests.content(self.metadata, str(digest))
        if content is None:
            return [partial(self.files.remove_revision, name, digest)]
        return [partial(self.files.put_manifest, name, digest, content)]

    async def _tag(self, name: RepositoryName, tag: Tag) -> list[Step]:
        """Also brings the revision that the tag names now: its own entry may be further back in the outbox."""
        row = await manifests.by_tag(self.metadata, name, tag)
        if row is None:
            return [partial(self.files.remove_tag, name, tag)]
        digest = Digest.parse(row.digest)
        return [*await self._revision(name, digest), partial(self.files.put_tag, name, tag, digest)]

    async def _blob(self, name: RepositoryName, entry: OutboxEntry) -> list[Step]:
        digest = _digest(entry)
        row = await blobs.find_in(self.metadata, name, str(digest))
        if row is None:
            return [partial(self.files.remove_layer, name, digest)]
        return [partial(self.files.put_layer, name, digest, Digest.parse(row.storage_key))]


def _digest(entry: OutboxEntry) -> Digest:
    return Digest.parse(str(entry.payload["digest"]))


def _tags(entry: OutboxEntry) -> list[Tag]:
    tags = entry.payload["tags"]
    assert isinstance(tags, list)
    return [Tag.parse(tag) for tag in tags]


def _run(steps: list[Step]) -> None:
    for step in steps:
        step()


async def _forget(ids: list[int], tx: Transaction) -> None:
    await outbox.done(tx, ids)
