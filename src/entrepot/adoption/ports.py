"""What adoption asks of the place that registry:2 filled: a folder (`tree`), or a bucket with the same names in it.

Everything blocks, on a disk or on a network, and is called from threads. Nothing is written. What is asked for by the
many is given in the order in which it was asked; a place that answers slowly looks for several at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from entrepot.adoption.report import Problem
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.registry.ports import StoredBlob

#: Told of a folder that may not be read.
OnError = Callable[[str, OSError], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFile:
    """A link as it lies there; one that was removed, as registry:2 does it, has no content."""

    path: str
    content: bytes | None = None
    changed_at: int = 0  #: microseconds since the epoch
    error: OSError | None = None  #: why it could not be read


class RegistryTree(Protocol):
    """A place in registry:2's layout (see `entrepot.registry.layout`)."""

    @property
    def place(self) -> str:
        """Name it for people."""
        ...

    def exists(self) -> bool:
        """Tell whether any repository could be here."""
        ...

    def has(self, name: RepositoryName) -> bool:
        """Tell whether a repository of this name is here."""
        ...

    def names(self) -> Iterator[RepositoryName | Problem]:
        """Walk the repositories, each before those nested below it; yield a problem for what cannot be one."""
        ...

    def folders(self, path: str, on_error: OnError | None = None) -> Iterator[str]:
        """Walk the names of the folders below a path of the layout; one that is not there has none."""
        ...

    def links(self, paths: Iterable[str]) -> Iterator[LinkFile]:
        """Read links by their paths in the layout."""
        ...

    def changed_at(self, path: str) -> int | None:
        """Give the time of a link in microseconds since the epoch; None when there is none."""
        ...

    def find_blobs(self, digests: Collection[Digest]) -> Mapping[Digest, StoredBlob]:
        """Describe the bytes of those blobs that are there."""
        ...

    def find_blob(self, digest: Digest) -> StoredBlob | None:
        """Describe the bytes of a blob; None when there are none."""
        ...

    def holds(self, digest: Digest) -> bool:
        """Read a blob to its end and tell whether the bytes have its digest."""
        ...

    def contents(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, bytes | None]]:
        """Read the bytes of manifests; None for those of which there are none, or far too many."""
        ...

    def manifest(self, digest: Digest) -> bytes | None:
        """Read the bytes of a manifest; None when there are none, or far too many."""
        ...


@dataclass(slots=True)
class Seen:
    """What a look at blobs brought."""

    lost: int = 0
    found: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class Foreign:
    """What another registry did, as far as blobs show it."""

    unknown: int = 0
    seen: Seen = field(default_factory=Seen)


class ForeignWatch(Protocol):
    """Looks whether another registry has written to the place since it is ours."""

    async def begin(self) -> None:
        """Count what is there before it is read for the first time as seen, unless somebody has begun before."""
        ...

    async def look(self) -> Foreign:
        """Look for what came or went; what was found is remembered until it is taken in."""
        ...

    async def waiting(self) -> bool:
        """Tell whether somebody has written what nobody has taken in since."""
        ...

    async def remedy(self) -> str:
        """Say what has come to be there that is still to be taken in, and how."""
        ...

    async def remember(self) -> None:
        """Count everything that is there by now as seen."""
        ...

    async def settle(self) -> None:
        """Note that everything has been taken in."""
        ...

    async def pull_back(self) -> None:
        """Forget what was seen at a time that a wrong clock told."""
        ...
