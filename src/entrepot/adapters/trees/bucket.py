"""A bucket that registry:2 filled, read as a folder of the same names.

What a folder is asked in microseconds costs a request here. So what is asked for by the many is asked for together, up
to a bound; a listing says already which links there are, since when, and what most of them hold: the link of a manifest
or blob is its own name, so only tags and aliases are read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, Final

from entrepot.adapters.blobs.objects.cloud import Described, NoObject
from entrepot.adapters.trees.bucket_client import OF_A_WALK, BucketClient
from entrepot.adapters.trees.bucket_report import leave_note
from entrepot.adoption.ports import LinkFile, OnError
from entrepot.adoption.report import Problem
from entrepot.adoption.tree import MAX_LINK_BYTES, MAX_MANIFEST_BYTES, parse_name
from entrepot.oci.digest import Digest, new_hasher
from entrepot.oci.errors import DigestInvalid
from entrepot.oci.reference import RepositoryName
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob

#: The one algorithm whose blobs are many.
_LISTED: Final = "sha256"
#: Folders with a folder for each algorithm, and in those what is many.
_OF_ALGORITHMS: Final = frozenset((layout.LAYERS, "revisions"))
#: Links whose times are remembered between their listing and their reading, and blobs that were found.
_LINKS_REMEMBERED: Final = 200_000
_BLOBS_REMEMBERED: Final = 100_000
#: After so many blobs were asked for one by one, they are listed, a 256th at a time, as long as no more are known.
_ONE_BY_ONE: Final = 500
_BLOBS_LISTED: Final = 500_000


class BucketTree:
    """A bucket in registry:2's layout: a `RegistryTree`."""

    def __init__(self, client: BucketClient, *, younger: int = 0) -> None:
        """Ask nothing yet.

        Args:
            client: Asks.
            younger: Only links are shown that are younger, in microseconds since the epoch.
        """
        self._client = client
        self._younger = younger
        self._links: OrderedDict[str, Described] = OrderedDict()
        self._blobs: OrderedDict[Digest, StoredBlob] = OrderedDict()
        self._asked = 0
        #: Size and ETag of the blobs of SHA-256 whose digests begin so, by the rest of them.
        self._shards: dict[str, dict[bytes, tuple[int, str]]] = {}
        self._listed = 0

    @property
    def place(self) -> str:
        """Name it for people."""
        return self._client.place

    # Repositories.

    def exists(self) -> bool:
        """Tell whether any repository could be here."""
        return bool(self._client.wait(self._client.folders(f"{layout.REPOSITORIES}/", 1)))

    def has(self, name: RepositoryName) -> bool:
        """Tell whether a repository of this name is here."""
        folders = (f"{layout.manifests(name)}/", f"{layout.layers(name)}/")
        return any(self._client.in_order(folders, lambda folder: self._client.folders(folder, 1)))

    def names(self) -> Iterator[RepositoryName | Problem]:
        """Walk the repositories, each before those nested below it, some at once."""
        waiting = [""]
        while waiting:
            some, waiting = waiting[:OF_A_WALK], waiting[OF_A_WALK:]
            nested: list[str] = []
            for name, children in zip(some, self._client.in_order(some, self._children), strict=True):
                if name and {layout.MANIFESTS, layout.LAYERS} & set(children):
                    yield parse_name(name)
                nested += [f"{name}/{child}" if name else child for child in children if not child.startswith("_")]
            waiting = nested + waiting

    def _children(self, name: str) -> Coroutine[Any, Any, list[str]]:
        return self._client.folders(f"{layout.REPOSITORIES}/{name}/" if name else f"{layout.REPOSITORIES}/")

    # Links.

    def folders(self, path: str, on_error: OnError | None = None) -> Iterator[str]:
        """Walk the names of the folders below a path, and remember the links in them."""
        del on_error  # what cannot be read now is no fault of what is there
        if path.rpartition("/")[2] in _OF_ALGORITHMS:
            yield from self._client.wait(self._client.folders(f"{path}/"))
            return
        last = ""
        for found in self._client.listed(f"{path}/"):
            name, inside, _ = found.name[len(path) + 1 :].partition("/")
            if found.name.endswith("/link") and "/index/" not in found.name:
                _keep(self._links, found.name, found, _LINKS_REMEMBERED)
            if inside and name != last and (not self._younger or self._is_young(found)):
                yield name
                last = name

    def _is_young(self, found: Described) -> bool:
        return found.placed_at > self._younger and found.name in self._links

    def links(self, paths: Iterable[str]) -> Iterator[LinkFile]:
        """Read links, several at once, those not at all whose listing has said what they hold."""
        return self._client.in_order(paths, self._link)

    async def _link(self, path: str) -> LinkFile:
        found = self._links.pop(path, None)
        if found is not None and (content := _told(found)) is not None:
            return LinkFile(path=path, content=content, changed_at=found.placed_at)
        try:
            found = found or await self._client.describe(path)
            content = await self._client.read(path, MAX_LINK_BYTES)
        except NoObject:
            return LinkFile(path=path)
        return LinkFile(path=path, content=content, changed_at=found.placed_at)

    def changed_at(self, path: str) -> int | None:
        """Give the time of a link; None when there is none."""
        try:
            return self._client.wait(self._client.describe(path)).placed_at
        except NoObject:
            return None

    # Blobs.

    def find_blobs(self, digests: Collection[Digest]) -> dict[Digest, StoredBlob]:
        """Describe the objects of those blobs that are there."""
        if self._asked > _ONE_BY_ONE:
            self._list_shards({digest.encoded[:2] for digest in digests if digest.algorithm == _LISTED})
        found = self._client.in_order(digests, self._find)
        return {digest: blob for digest, blob in zip(digests, found, strict=True) if blob is not None}

    def find_blob(self, digest: Digest) -> StoredBlob | None:
        """Describe the object of a blob; None when there is none."""
        return self._client.wait(self._find(digest))

    def _list_shards(self, wanted: set[str]) -> None:
        """List parts of the blobs; it is for adoption, during which none of them comes or goes."""
        if self._listed > _BLOBS_LISTED:
            return
        shards = sorted(wanted - self._shards.keys())
        pages = self._client.in_order(shards, lambda shard: self._client.all(f"{layout.BLOBS}/{_LISTED}/{shard}/"))
        for shard, found in zip(shards, pages, strict=True):
            digests = ((one, _digest(one.name)) for one in found)
            self._shards[shard] = {
                bytes.fromhex(digest.encoded): (one.size, one.etag) for one, digest in digests if digest is not None
            }
            self._listed += len(found)

    async def _find(self, digest: Digest) -> StoredBlob | None:
        shard = self._shards.get(digest.encoded[:2]) if digest.algorithm == _LISTED else None
        if shard is not None:
            listed = shard.get(bytes.fromhex(digest.encoded))
            return None if listed is None else StoredBlob(key=str(digest), size=listed[0], etag=listed[1])
        known = self._blobs.get(digest)
        if known is not None:
            return known
        self._asked += 1
        try:
            found = await self._client.describe(layout.blob_data(digest))
        except NoObject:
            return None
        blob = StoredBlob(key=str(digest), size=found.size, etag=found.etag, placed_at=found.placed_at)
        _keep(self._blobs, digest, blob, _BLOBS_REMEMBERED)
        return blob

    def holds(self, digest: Digest) -> bool:
        """Read a blob's object to its end and tell whether the bytes have its digest."""
        hashed = self._client.hash(layout.blob_data(digest), partial(new_hasher, digest.algorithm))
        try:
            return self._client.wait(hashed) == digest.encoded
        except NoObject:
            return False

    def ours_since(self) -> int:
        """Say when the bucket became ours, by its own clock."""
        return leave_note(self._client)

    def in_shard(self, first: str) -> list[StoredBlob]:
        """List registry:2's blobs whose digests begin so."""
        digests = ((found, _digest(found.name)) for found in self._client.listed(f"{layout.BLOBS}/sha256/{first}/"))
        return [
            StoredBlob(key=str(digest), size=found.size, etag=found.etag, placed_at=found.placed_at)
            for found, digest in digests
            if digest is not None
        ]

    def contents(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, bytes | None]]:
        """Read the bytes of manifests, several at once."""
        return self._client.in_order(digests, self._content)

    def manifest(self, digest: Digest) -> bytes | None:
        """Read the bytes of a manifest; None when there are none, or far too many."""
        return self._client.wait(self._content(digest))[1]

    async def _content(self, digest: Digest) -> tuple[Digest, bytes | None]:
        try:
            content = await self._client.read(layout.blob_data(digest), MAX_MANIFEST_BYTES + 1)
        except NoObject:
            return digest, None
        return digest, content if len(content) <= MAX_MANIFEST_BYTES else None


def _digest(name: str) -> Digest | None:
    *_, algorithm, first, encoded, _ = name.split("/")
    digest = layout.blob_at(algorithm, first, encoded)
    return digest if digest is not None and layout.blob_data(digest) == name else None


def _told(link: Described) -> bytes | None:
    """Say what a link holds whose name says it, which its length shows; None where only its bytes do."""
    *_, algorithm, encoded, _ = link.name.split("/")
    try:
        digest = str(Digest.parse(f"{algorithm}:{encoded}"))
    except DigestInvalid:
        return None
    return digest.encode() if link.size == len(digest) else None


def _keep(memory: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    memory[key] = value
    if len(memory) > most:
        memory.popitem(last=False)
