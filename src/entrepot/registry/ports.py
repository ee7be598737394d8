"""What the registry needs from the world outside: a place for blobs, and who decides about tags.

A blob travels through the port in five steps, which the use case in `registry/uploads.py` drives::

    start_upload ──► append … append ──► seal ──► publish
                          │                │
                          └── cancel_upload ┘

Nothing is visible before `publish`; nothing is acknowledged before `publish` returned.

A store on a disk finds an upload by its id. An object store is asked by many nodes and cannot look an upload up, so it
says itself, in `UploadProgress.state`, what it has to know of it; the caller keeps that and hands it back as `known`.
Implementations are interchangeable: tests/contracts/test_blob_store.py is their definition.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader
from entrepot.oci.digest import Digest
from entrepot.registry.model import BlobRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A complete blob as the store holds it; what the row of a blob remembers to notice later damage."""

    #: The store's own name of the bytes, as the metadata keeps it.
    key: str
    size: int
    #: Filled by stores on a file system: both change when somebody else touches the file.
    inode: int | None = None
    mtime_ns: int | None = None
    #: Filled by object stores: another object has another one.
    etag: str | None = None
    #: Since when the bytes have this key, or later, in microseconds since the epoch; None when nobody looked.
    placed_at: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadProgress:
    """How far an upload has come, and what is known of its bytes.

    The caller keeps the last progress of a session where every worker finds it, and hands it back as `known`. It counts
    only while `offset` is still the length of the upload, so a stale one costs a second read, never a wrong blob.
    """

    #: Bytes stored so far, which is where the next ones go.
    offset: int
    #: Digest of exactly these bytes in the session's algorithm; None when no single process hashed them all.
    hashed: Digest | None
    #: What an object store has to know of the upload to go on with it anywhere, in its own words; None on a disk.
    state: str | None = None
    #: Whether a request before this one verified these bytes, and may have made a blob of them that is gone by now.
    sealed_before: bool = False


#: Keeps the progress of an append that is not at its end, for whoever goes on with the upload.
#:
#: Raises:
#:     BlobUploadUnknown: The upload was cancelled meanwhile.
#:     UploadRangeInvalid: Another append has come further.
Keep = Callable[[UploadProgress], Awaitable[None]]


class BlobStore(Protocol):
    """Complete blobs by key, and the uploads that become blobs.

    Every method may raise, besides what it names itself:
        InsufficientStorage: The device or its quota is full. The upload at hand is cancelled and its space freed.
        Unavailable: The storage failed (an I/O error, no more file descriptors). Nothing was acknowledged.

    Every method may be cancelled at any moment: no descriptor and no lock stays behind.

    `known`, wherever it is taken, is the last progress that was kept of the upload, by whatever process; a store with
    `has_state` does not know the upload without it.
    """

    @property
    def has_state(self) -> bool:
        """Tell whether uploads have a state that the caller keeps, as in object stores.

        Then a blob gets a key that was never used and never will be again: nobody waits until an old copy is deleted,
        and nobody takes a new one for it. An upload may be published in another process than the one that sealed it.
        """
        ...

    async def stat(self, key: str) -> StoredBlob:
        """Describe a blob without reading it.

        Raises:
            BlobUnknown: No complete blob has this key. An upload still in progress does not count.
        """
        ...

    def stream(self, key: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read `length` bytes from `start` (to the end when None) in pieces, without holding the blob in memory.

        Close the generator (`aclose`) when leaving it early: that closes the file at once.

        Raises:
            BlobUnknown: No complete blob has this key.
            Unavailable: The blob ends before the last byte asked for; raised where the missing byte would have come.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove a blob for good; the removal is durable on return. Idempotent.

        Whether anything still needs the blob is for the caller to know.
        """
        ...

    def keys(self, after: str = "") -> AsyncIterator[StoredBlob]:
        """Walk the complete blobs whose keys sort after `after`, in the order of their keys.

        What is not a blob is passed over; so a walk that was broken off goes on where it was.
        """
        ...

    async def start_upload(self, upload_id: str) -> UploadProgress:
        """Open an empty upload, under an id that was never used before: workers may still remember its bytes.

        Raises:
            BlobUploadInvalid: The id is in use; a store with `has_state` leaves that to whoever keeps the state.
            BlobUploadUnknown: The id is none (see `registry.layout.UploadId`).
        """
        ...

    async def upload_size(self, upload_id: str, *, known: UploadProgress | None = None) -> int:
        """Say how many bytes of an upload are stored.

        Raises:
            BlobUploadUnknown: There is no such upload.
        """
        ...

    async def append(
        self,
        upload_id: str,
        chunks: AsyncIterator[bytes],
        *,
        offset: int,
        algorithm: str,
        known: UploadProgress | None = None,
        keep: Keep | None = None,
        owner: str = "",
    ) -> UploadProgress:
        """Add bytes at the end of an upload, hashing them on the way.

        When `chunks` raises or the task is cancelled, the bytes received so far stay and the upload can be resumed.
        They need not survive a power cut: that begins with `seal`. Where two append at once to an upload of a store
        with `has_state`, the one counts whose progress is kept first.

        Args:
            upload_id: The upload to add to.
            chunks: The bytes, in any piece size.
            offset: Where the caller believes the upload ends.
            algorithm: The session's digest algorithm, one of `entrepot.oci.digest.ALGORITHMS`.
            known: The last progress that was kept.
            keep: Told by a store with `has_state` how far it has come, now and then and when the append is broken off.
            owner: Who sends them. Where memory for uploads is scarce, owners share it evenly.

        Raises:
            BlobUploadUnknown: There is no such upload, or it was cancelled meanwhile.
            UploadRangeInvalid: The upload does not end at `offset`, or another append is at work on it.
        """
        ...

    async def seal(self, upload_id: str, expected: Digest, *, known: UploadProgress | None = None) -> UploadProgress:
        """Verify an upload's bytes against a digest and make them durable; say how far it is then.

        The bytes are read again only when neither this process nor `known` can say their digest in the expected
        digest's algorithm, and then once.

        Raises:
            BlobUploadUnknown: There is no such upload.
            UploadRangeInvalid: An append is at work on it.
            DigestInvalid: The bytes have another digest. The upload stays as it is.
        """
        ...

    async def publish(self, upload_id: str, digest: Digest, *, known: UploadProgress | None = None) -> StoredBlob:
        """Make a sealed upload visible as the blob of this digest, durably; say its key.

        On a disk that replaces an older copy in one step, and is called in the process that sealed the upload. A store
        with `has_state` is told what `seal` said, and may be told twice.

        Raises:
            BlobUploadUnknown: There is no such upload.
            BlobUploadInvalid: It was not sealed with this digest, or was changed since.
        """
        ...

    async def cancel_upload(self, upload_id: str, *, known: UploadProgress | None = None) -> None:
        """Drop an upload and free its space. Idempotent; an append at work on it ends with BlobUploadUnknown.

        A store with `has_state` keeps what was sealed, which another request may be about to commit, unless the caller
        sealed it and `known.hashed` says so; `leftovers` finds it when it is old.
        """
        ...

    async def cancel_idle_upload(self, upload_id: str, *, before: int = 0) -> bool:
        """Drop an upload without bytes, or last written to before a time, unless a request is at work on it.

        A store with `has_state` drops none: what requests do shows in the progress that they keep.

        Args:
            upload_id: Which.
            before: Microseconds since the epoch.

        Returns:
            Whether it is gone.
        """
        ...

    async def uploads(self) -> list[tuple[str, int]]:
        """List every upload that takes space: its id and when it was last written to, in microseconds since the epoch.

        A store with `has_state` lists none: its caller knows them all.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something in an object store that a push put there: it may be a blob, belong to an upload, or to nobody."""

    key: str
    upload_id: str
    size: int
    #: An upload in parts that was not ended, by the store's name of it; empty for an object.
    multipart: str = ""


class Leftovers(Protocol):
    """An object store that can be searched for what dead processes and lost answers left in it."""

    def leftovers(self, *, before: int) -> AsyncIterator[Leftover]:
        """Walk all that pushes put there before a time, in microseconds since the epoch by the store's clock."""
        ...

    async def discard(self, leftover: Leftover) -> None:
        """Remove something that belongs to nobody. Idempotent."""
        ...


#: Gives the number of the rule that keeps a tag where it is; None for a tag that may be moved and deleted.
RuleOf = Callable[[str], int | None]


class TagRules(Protocol):
    """Which tags of a repository can be neither moved nor deleted, as its project decided."""

    async def of(self, reader: Reader, repository: RepositoryRecord, /) -> RuleOf | None:
        """Return what keeps tags where they are; None when nothing does. One statement.

        Two answers are equal when the same rules are behind them.
        """
        ...


class LocalFiles(Protocol):
    """A blob store whose blobs are whole local files that the server may send by itself."""

    def path(self, key: str) -> Path:
        """Say where the bytes of a key are, without looking whether they are there."""
        ...

    async def look(self, path: str) -> os.stat_result:
        """Describe the file at such a path; where other hosts write too, it may take a moment to be seen.

        Raises:
            OSError: It is not there, or cannot be looked at.
        """
        ...


class BlobCache(Protocol):
    """Blobs kept near this node, in front of a store that is further away."""

    def path(self, blob: BlobRecord) -> str | None:
        """Say in which local file a blob is whole; it stays there for a minute at least. None when it is not kept."""
        ...

    def stream(self, blob: BlobRecord, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Read a part of a blob that is not kept, from the store or from where it is just being kept.

        Raises:
            BlobUnknown: The store has no such blob, or its bytes have another digest.
            Unavailable: The bytes cannot be read.
        """
        ...


class BlobUrls(Protocol):
    """Where clients can fetch blobs without this registry: from the store itself, or from a CDN in front of it."""

    async def url(self, key: str, client: str) -> str | None:
        """Give a URL under which whoever has it can get exactly these bytes for some minutes, with GET.

        Args:
            key: The store's key of the bytes. Whether they are there is not looked at.
            client: The client's address: some networks are sent elsewhere than others.

        Returns:
            None when the registry is to send the bytes itself.
        """
        ...
