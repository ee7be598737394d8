"""The values that the registry's services hand out."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.metadata.events import Source
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor(Source):
    """Who does something, as far as the registry must remember it in tag history and events."""

    may_create_project: bool = False  #: a push to a project that does not exist creates it


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest of a repository; `content` holds the exact bytes when they were asked for."""

    id: int
    digest: Digest
    media_type: str
    size: int
    content: bytes | None
    settled: bool = True  #: it is not queued for collection: to look at it changes nothing


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """A blob that a repository holds, the key of its bytes in the blob store, and what its row says of them."""

    digest: Digest
    size: int
    key: str
    id: int = 0  #: of its row, as what follows; an upload that has just become a blob says nothing of it
    inode: int | None = None  #: which file was found to have the digest, and when (see `registry.suspect_blobs`)
    mtime_ns: int | None = None
    verified_at: int | None = None
    settled: bool = False  #: it is not to go, neither from the store nor from here: to look at it changes nothing
    etag: str | None = None  #: as `inode`, of an object store


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """What a manifest push did."""

    digest: Digest
    subject: Digest | None
    tags: tuple[str, ...]
    warning: str | None = None  #: what the client should tell whoever pushed


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSession:
    """An open upload; `offset` is the number of bytes received so far."""

    id: str
    repository: RepositoryName
    offset: int
    algorithm: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list in bytewise order; `last` is the item to continue after, when more follow."""

    items: list[str]
    last: str | None


def cut_page(rows: list[str], limit: int) -> Page:
    """Make a page of `limit` items from a query that asked for one more than that."""
    items = rows[:limit]
    return Page(items, items[-1] if len(rows) > limit and items else None)
