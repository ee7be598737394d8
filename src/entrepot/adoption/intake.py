"""Writing one repository of a folder into the metadata.

Repositories are taken in pieces of a few hundred manifests, each one short transaction. A repository counts as adopted
only after its last piece; until then every piece may be repeated by any process, and no push is let in. A piece that
finds the repository adopted stops: another process was faster, and pushes may have changed it since.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from entrepot.adoption.contents import Contents, Piece
from entrepot.adoption.report import Problem, ProblemKind
from entrepot.adoption.tree import RepositoryFiles, TagLink, Tree
from entrepot.metadata import blobs, clock, manifests, projects, repositories, review, tags
from entrepot.metadata.database import Database, Transaction
from entrepot.oci import manifest as oci_manifest
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.registry.ports import StoredBlob
from entrepot.registry.references import blob_references

T = TypeVar("T")

#: Written to the history of tags that were there before us.
ACTOR = "registry:2"
_MANIFESTS_A_PIECE = 200
_ROWS_A_PIECE = 1000
_GRACE_SECONDS = 3600.0


class AlreadyAdopted(Exception):
    """Another process finished this repository first."""


@dataclass(slots=True)
class Adopted:
    """What was taken in."""

    manifests: int = 0
    tags: int = 0
    blobs: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes repositories of a tree into the metadata."""

    metadata: Database
    tree: Tree

    async def adopt(self, name: RepositoryName) -> Adopted:
        """Take in a repository that is still to be adopted; nothing happens when another process was faster."""
        files = await asyncio.to_thread(self.tree.read, name)
        taking = _Taking(self.metadata, Contents(self.tree, files), refreshing=False)
        try:
            return await taking.run()
        except AlreadyAdopted:
            return Adopted()

    async def refresh(self, name: RepositoryName) -> Adopted:
        """Take in what an adopted repository's files have and the metadata lack; its tags follow the files."""
        files = await asyncio.to_thread(self.tree.read, name)
        return await _Taking(self.metadata, Contents(self.tree, files), refreshing=True).run()


@dataclass(frozen=True, slots=True)
class _Taking:
    """Takes in one repository, piece by piece."""

    metadata: Database
    contents: Contents
    refreshing: bool  #: the repository may be adopted already

    @property
    def files(self) -> RepositoryFiles:
        return self.contents.files

    async def run(self) -> Adopted:
        result = Adopted(problems=self.files.problems)
        for revisions in _pieces(self.files.revisions, _MANIFESTS_A_PIECE):
            piece = await asyncio.to_thread(self.contents.read_piece, revisions)
            result.manifests += await self._write(partial(self._manifests, piece))
        for links in _pieces(list(self.files.layers.items()), _ROWS_A_PIECE):
            stored = await asyncio.to_thread(self.contents.stat_layers, links)
            result.blobs += await self._write(partial(self._layers, stored))
        for tag_links in _pieces(self.files.tags, _ROWS_A_PIECE):
            result.tags += await self._write(partial(self._tags, tag_links))
        await self._write(self._finish)
        return result

    async def _write(self, piece: Callable[[Transaction, repositories.RepositoryRecord], Awaitable[int]]) -> int:
        async def work(tx: Transaction) -> int:
            return await piece(tx, await self._open(tx))

        return await self.metadata.write(work, name="adopt")

    async def _open(self, tx: Transaction) -> repositories.RepositoryRecord:
        """Return the repository's row, made if it is missing.

        Raises:
            AlreadyAdopted: It is adopted, which only a refresh expects.
        """
        name = self.files.name
        found = await repositories.find_exact(tx, name)
        if found is None:
            project = await projects.ensure(tx, name.project)
            await repositories.create(tx, name, project.id, adopted=False)
            found = await repositories.find_exact(tx, name)
        assert found is not None
        if found.adopted and not self.refreshing:
            raise AlreadyAdopted(name)
        return found

    async def _manifests(self, piece: Piece, tx: Transaction, repository: repositories.RepositoryRecord) -> int:
        ids = {digest: await _put_blob(tx, digest, stored) for digest, stored in piece.stored.items()}
        for blob_id in ids.values():
            await blobs.link(tx, repository.id, blob_id)
        return sum([await _add_manifest(tx, repository, manifest, ids) for manifest in piece.manifests])

    async def _layers(
        self, stored: dict[Digest, StoredBlob], tx: Transaction, repository: repositories.RepositoryRecord
    ) -> int:
        linked = 0
        for digest, found in stored.items():
            row = await blobs.find(tx, str(digest))
            blob_id = row.id if row is not None else await _put_unreferenced(tx, digest, found)
            linked += await blobs.link(tx, repository.id, blob_id)
        return linked

    async def _tags(self, links: Sequence[TagLink], tx: Transaction, repository: repositories.RepositoryRecord) -> int:
        targets = await manifests.present(tx, repository.id, [str(link.digest) for link in links])
        before = await tags.current(tx, repository.id, [link.tag for link in links])
        moved = [link for link in links if before.get(link.tag) != str(link.digest)]
        for link in moved:
            await self._tag(tx, repository, link, targets.get(str(link.digest)))
        return sum(str(link.digest) in targets for link in moved)

    async def _tag(
        self, tx: Transaction, repository: repositories.RepositoryRecord, link: TagLink, target: int | None
    ) -> None:
        digest = str(link.digest)
        if target is None:
            self.files.note(ProblemKind.DANGLING_TAG, link.tag, f"names {digest}")
            return
        await tags.put(tx, repository.id, [link.tag], target, at=link.at)
        await tags.remember(tx, repository.id, [link.tag], digest=digest, action=tags.SET, actor=ACTOR, at=link.at)

    async def _finish(self, tx: Transaction, repository: repositories.RepositoryRecord) -> int:
        await repositories.set_adopted(tx, repository.id)
        return 1


async def _put_blob(tx: Transaction, digest: Digest, stored: StoredBlob) -> int:
    """Make a referenced blob known; its bytes are there, but nobody has hashed them since they were pushed."""
    blob_id = await blobs.put(
        tx,
        str(digest),
        size=stored.size,
        storage_key=stored.key,
        review_after=None,
        inode=stored.inode,
        mtime_ns=stored.mtime_ns,
        verified=False,
    )
    assert blob_id is not None, "nothing is collected before adoption is complete"
    return blob_id


async def _put_unreferenced(tx: Transaction, digest: Digest, stored: StoredBlob) -> int:
    blob_id = await _put_blob(tx, digest, stored)
    after = clock.after(_GRACE_SECONDS)
    await blobs.keep(tx, [blob_id], review_after=after)
    await review.add(tx, review.BLOB, [blob_id], after=after, reason="adopted without a manifest")
    return blob_id


async def _add_manifest(
    tx: Transaction,
    repository: repositories.RepositoryRecord,
    manifest: oci_manifest.Manifest,
    ids: dict[Digest, int],
) -> bool:
    manifest_id = await manifests.add(
        tx,
        repository.id,
        digest=str(manifest.digest),
        media_type=manifest.media_type,
        artifact_type=manifest.referrer_artifact_type,
        raw=manifest.raw,
        subject=None if manifest.subject is None else str(manifest.subject.digest),
        annotations=manifest.annotations,
    )
    if manifest_id is None:
        return False
    references = [(ids[blob.digest], role) for role, blob in blob_references(manifest) if blob.digest in ids]
    listed = [str(entry.digest) for entry in manifest.manifests if entry.digest not in ids]
    present = await manifests.present(tx, repository.id, listed)
    children = [(digest, present.get(digest)) for digest in listed]
    await manifests.refer(tx, manifest_id, blobs=references, children=children)
    await manifests.connect_parents(tx, repository.id, str(manifest.digest), manifest_id)
    await blobs.charge(tx, repository.project_id, sorted({blob_id for blob_id, _ in references}))
    return True


def _pieces(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
