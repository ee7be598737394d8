"""What the store of blobs asks of a cloud: few, plain calls, each of which may fail and be repeated.

Names are those below the configured root. Whoever implements this reports failures by the classes here and nothing
else; `calls.py` decides what becomes of them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class CloudError(Exception):
    """A call did not succeed."""


class CloudBusy(CloudError):
    """It may succeed when it is repeated: the store is overloaded, or did not answer."""

    def __init__(self, reason: str, *, slow_down: bool = False) -> None:
        self.slow_down = slow_down  #: the store asks for fewer requests
        super().__init__(reason)


class CloudRefused(CloudError):
    """It will fail again until an operator changes something; the text says what."""


class NoObject(CloudError):
    """There is no object of this name."""


class NoMultipart(CloudError):
    """There is no such upload in parts: it was ended, either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a cloud demands of an upload in parts."""

    smallest_part: int  #: bytes that every part but the last one must have
    part_multiple: int = 1  #: of which every part but the last one is a multiple
    most_parts: int = 10_000
    parts_at_once: int = 2  #: of one upload, on their way
    first_part: int = 8 << 20  #: bytes of the first parts; later ones are larger
    #: Whether `complete` names each part's own bytes, so that what is there afterwards cannot be of others.
    names_bytes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """An object."""

    name: str
    size: int
    etag: str
    placed_at: int  #: microseconds since the epoch, by the store's clock


@dataclass(frozen=True, slots=True)
class Multipart:
    """An upload in parts that was not ended."""

    name: str
    id: str
    began_at: int  #: microseconds since the epoch, by the store's clock


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store has; `mark` is what the store calls it."""

    mark: str
    size: int


async def in_pieces(data: Buffer, size: int = 256 << 10) -> AsyncIterator[memoryview]:
    """Give bytes to be sent in pieces, without a copy, none of which keeps the event loop for long."""
    view = memoryview(data)
    for start in range(0, len(view), size):
        yield view[start : start + size]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Bytes to be sent, with their SHA-256, of which the store is asked to make sure."""

    data: Buffer
    sha256: bytes


class Cloud(Protocol):
    """A bucket or container, below a root."""

    @property
    def limits(self) -> Limits:
        """Say what it demands of parts."""
        ...

    async def check(self) -> None:
        """Make sure that the bucket is there.

        Raises:
            CloudRefused: It is not, or may not be used.
        """
        ...

    async def put(self, name: str, payload: Payload) -> str:
        """Store an object in one request; return its ETag."""
        ...

    async def begin(self, name: str) -> str:
        """Begin an upload in parts; return its id."""
        ...

    async def put_part(self, name: str, upload: str, number: int, offset: int, payload: Payload) -> str:
        """Store a part, by its number from 1 on, whose first byte is at `offset`; return its mark.

        Raises:
            NoMultipart: The upload was ended.
        """
        ...

    async def complete(self, name: str, upload: str, parts: Sequence[Part]) -> str:
        """Make an object of the parts, which are all; return its ETag.

        Raises:
            NoMultipart: The upload was ended, perhaps by an earlier try of this.
        """
        ...

    async def abort(self, name: str, upload: str) -> None:
        """Drop an upload in parts. Idempotent."""
        ...

    async def describe(self, name: str) -> Described:
        """Describe an object.

        Raises:
            NoObject: There is none.
        """
        ...

    def read(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        """Read an object from `start`, to its end or `length` bytes; it may end early.

        Raises:
            NoObject: There is none.
        """
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Remove up to `deletes_at_once` objects, of those that there are."""
        ...

    @property
    def deletes_at_once(self) -> int:
        """Say how many objects one `delete` takes."""
        ...

    def list(self, prefix: str, after: str = "") -> AsyncIterator[Described]:
        """Walk the objects whose names begin like this and sort behind `after`, in the order of their names."""
        ...

    def list_multiparts(self, prefix: str) -> AsyncIterator[Multipart]:
        """Walk the uploads in parts that were not ended, for names that begin like this."""
        ...

    async def presign(self, name: str, seconds: int) -> str | None:
        """Return a URL that answers GET of an object, as bytes that may be cached for ever, to whoever has it.

        None where nobody may sign one with these credentials.
        """
        ...

    async def close(self) -> None:
        """End all connections."""
        ...
