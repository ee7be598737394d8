"""Giving a bucket back to registry:2: what it would miss is written, and what was deleted here goes.

Our blobs lie under names of their own, so they are copied, within the store, to where registry:2 looks for them, and
every repository gets its links. A folder has all that already, written behind each change (`projector`); a bucket gets
it once, when people leave. It may be stopped and run again: what is there already is passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from entrepot.adoption.links import RepositoryLinks
from entrepot.adoption.ports import RegistryTree
from entrepot.metadata.contents import blobs, manifests, repositories, repository_contents
from entrepot.metadata.contents.blobs import StoredRow
from entrepot.metadata.contents.repository_contents import RepositoryContents
from entrepot.metadata.database import Database
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import layout

_ROWS: Final = 500
_NAMES: Final = 200
_MANIFESTS: Final = 50


class BucketFiles(Protocol):
    """What is asked of the bucket. Everything blocks; what concerns many is done side by side."""

    def lying(self) -> Iterator[tuple[str, int]]:
        """Walk the digests and sizes of registry:2's blobs, in the order of the digests."""
        ...

    def copy(self, wanted: Iterable[tuple[str, Digest, int]]) -> Iterator[bool]:
        """Copy blobs from their keys to where registry:2 looks for them; False for each that is gone."""
        ...

    def put(self, objects: Iterable[tuple[str, bytes]]) -> None:
        """Write objects by their paths."""
        ...

    def remove(self, folders: Iterable[str]) -> None:
        """Remove objects by their paths, or all that lie below them."""
        ...


@dataclass(slots=True)
class GivenBack:
    """What was done, or would be."""

    repositories: int = 0
    blobs: int = 0  #: to be copied
    bytes: int = 0
    manifests: int = 0
    links: int = 0
    removed: int = 0  #: tags, manifests and blobs of repositories that were deleted here
    lost: list[str] = field(default_factory=list)  #: blobs whose bytes are gone
    #: What only the bucket has, and is younger than it is ours: registry:2's, to be taken in first.
    theirs: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Tell whether registry:2 would see anything else than this registry."""
        return bool(self.blobs or self.manifests or self.links or self.removed or self.lost or self.theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivingBack:
    """One run."""

    metadata: Database
    tree: RegistryTree
    files: BucketFiles
    since: int  #: when the bucket became ours, in microseconds since the epoch
    writing: bool
    show: Callable[[GivenBack], None] = lambda _done: None
    done: GivenBack = field(default_factory=GivenBack)

    async def run(self) -> GivenBack:
        """Do it, or say what would be done: bytes first, so that no link leads nowhere."""
        async for some in self._missing():
            self.done.blobs += len(some)
            self.done.bytes += sum(row.size for row in some)
            if self.writing:
                await self._copy(some)
            self.show(self.done)
        async for name in self._names():
            await self._repository(name)
            self.done.repositories += 1
            self.show(self.done)
        return self.done

    # Bytes.

    async def _missing(self) -> AsyncIterator[list[StoredRow]]:
        """Give the blobs of which registry:2 would miss the bytes; both sides come in the order of their digests."""
        lying, last = self.files.lying(), ""
        here = await asyncio.to_thread(next, lying, None)
        while rows := await blobs.stored_by_digest(self.metadata, after=last, limit=_ROWS):
            last, some = rows[-1].digest, list[StoredRow]()
            for row in rows:
                while here is not None and here[0] < row.digest:
                    here = await asyncio.to_thread(next, lying, None)
                if row.state in blobs.LOST:
                    self.done.lost.append(row.digest)
                elif layout.is_object(row.storage_key) and here != (row.digest, row.size):
                    some.append(row)
            if some:
                yield some

    async def _copy(self, rows: list[StoredRow]) -> None:
        wanted = [(row.storage_key, Digest.parse(row.digest), row.size) for row in rows]
        copied = await asyncio.to_thread(lambda: list(self.files.copy(wanted)))
        self.done.lost += [row.digest for row, there in zip(rows, copied, strict=True) if not there]

    # Links.

    async def _names(self) -> AsyncIterator[RepositoryName]:
        last = ""
        while page := await repositories.page(self.metadata, limit=_NAMES, last=last):
            for name in page:
                yield RepositoryName.parse(name)
            last = page[-1]

    async def _repository(self, name: RepositoryName) -> None:
        wanted = await repository_contents.read(self.metadata, name)
        found = await asyncio.to_thread(_Found.read, RepositoryLinks(self.tree, name))
        new = sorted(set(wanted.manifests) - found.revisions)
        self.done.manifests += len(new)
        links = {
            layout.layer_link(name, Digest.parse(digest)): _target(digest, key)
            for digest, key in wanted.blobs.items()
            if found.layers.get(digest) != _target(digest, key)
        }
        tags = {tag: digest for tag, digest in wanted.tags.items() if found.tags.get(tag, ("", 0))[0] != digest}
        self.done.links += len(links) + 2 * len(tags) + len(new)
        if self.writing:
            for start in range(0, len(new), _MANIFESTS):
                await self._put_manifests(name, new[start : start + _MANIFESTS])
            await self._put(links)
            await self._put({path: digest for tag, digest in tags.items() for path in _tag_links(name, tag, digest)})
        await self._remove(name, wanted, found)

    async def _put_manifests(self, name: RepositoryName, digests: list[str]) -> None:
        bodies, links = dict[str, bytes](), dict[str, str]()
        for text in digests:
            content, digest = await manifests.content(self.metadata, text), Digest.parse(text)
            if content is not None:
                bodies[layout.blob_data(digest)] = content
                links[layout.revision_link(name, digest)] = text
        await asyncio.to_thread(self.files.put, bodies.items())
        await self._put(links)

    async def _put(self, links: dict[str, str]) -> None:
        await asyncio.to_thread(self.files.put, [(path, target.encode()) for path, target in links.items()])

    async def _remove(self, name: RepositoryName, wanted: RepositoryContents, found: _Found) -> None:
        """Let what was deleted here go; what is younger than the bucket is ours is not ours to remove."""
        tags = {tag: at for tag, (_, at) in found.tags.items() if tag not in wanted.tags}
        manifests_ = found.revisions - set(wanted.manifests)
        layers = found.layers.keys() - wanted.blobs.keys()
        gone = [layout.tag_folder(name, Tag.parse(tag)) for tag, at in tags.items() if at <= self.since]
        young = [f"{name}:{tag}" for tag, at in tags.items() if at > self.since]
        for digests, link in ((manifests_, layout.revision_link), (layers, layout.layer_link)):
            for text in sorted(digests):
                path = link(name, Digest.parse(text))
                changed = await asyncio.to_thread(self.tree.changed_at, path)
                if changed is not None and changed <= self.since:
                    gone.append(path)
                elif changed is not None:
                    young.append(f"{name}@{text}")
        self.done.removed += len(gone)
        self.done.theirs += young
        if self.writing and gone:
            await asyncio.to_thread(self.files.remove, gone)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the links of a repository say."""

    revisions: set[str]
    layers: dict[str, str]
    tags: dict[str, tuple[str, int]]

    @classmethod
    def read(cls, links: RepositoryLinks) -> _Found:
        return cls(
            {str(digest) for digest in links.revisions()},
            {str(link.digest): str(link.stored_as) for link in links.layers()},
            {str(link.tag): (str(link.digest), link.at) for link in links.tags()},
        )


def _target(digest: str, key: str) -> str:
    """Say under which digest registry:2 finds the bytes: ours it finds where they are copied to."""
    return digest if layout.is_object(key) else key


def _tag_links(name: RepositoryName, tag: str, digest: str) -> tuple[str, str]:
    return (
        layout.tag_index_link(name, Tag.parse(tag), Digest.parse(digest)),
        layout.tag_current_link(name, Tag.parse(tag)),
    )
