"""What has to be known of an upload to go on with it on any node: it goes through the session's row as text.

An upload is one of these:

    nothing yet     no bytes have come
    an object       all its bytes are one object, which becomes the blob as it is
    parts           an open upload in parts, and perhaps a tail: bytes after the parts that are too few to be one, in an
                    object of their own

Each object has a name that is used once. So what a request of another node writes too late harms nothing, and an older
state stays whole until a newer one is kept; `old` names what is not needed any more once this one is.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from entrepot.adapters.blobs.objects.cloud import Part
from entrepot.oci.digest import Digest
from entrepot.registry import layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Bytes that are an object."""

    name: str
    size: int
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadState:
    """How an upload stands."""

    #: The object that is all of the upload, or what follows its parts.
    object: Stored | None = None
    #: Name and id of the upload in parts; empty when there is none.
    name: str = ""
    multipart: str = ""
    parts: tuple[Part, ...] = ()
    #: The digest that its bytes were found to have.
    sealed: str = ""
    #: Whether several requests verified it: none of them knows of the others, which may make a blob of it.
    shared: bool = False
    #: Objects that are of no more use.
    old: tuple[str, ...] = ()

    @property
    def in_parts(self) -> int:
        """The bytes in parts."""
        return sum(part.size for part in self.parts)

    @property
    def size(self) -> int:
        """All bytes."""
        return self.in_parts + (self.object.size if self.object else 0)

    @property
    def names(self) -> list[str]:
        """The names of all its objects."""
        return [*self.old, *([self.object.name] if self.object else [])]

    def seal(self, digest: Digest) -> UploadState:
        """Give the same bytes, verified, perhaps once more."""
        return replace(self, sealed=str(digest), shared=bool(self.sealed))

    def without_old(self) -> UploadState:
        """Give the same bytes once the old objects were removed."""
        return replace(self, old=())

    def as_object(self, stored: Stored) -> UploadState:
        """Give the same bytes as one object."""
        tail = (self.object.name,) if self.object else ()
        return UploadState(object=stored, sealed=self.sealed, shared=self.shared, old=self.old + tail)

    def text(self) -> str:
        """Write it down."""
        kept: dict[str, object] = {}
        if self.object is not None:
            kept["object"] = [self.object.name, self.object.size, self.object.etag]
        if self.multipart:
            kept |= {"name": self.name, "multipart": self.multipart}
            kept["parts"] = [[part.size, part.mark] for part in self.parts]
        if self.sealed:
            kept["sealed"] = self.sealed
        if self.shared:
            kept["shared"] = True
        if self.old:
            kept["old"] = list(self.old)
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> UploadState:
        """Read what `text` wrote."""
        kept = json.loads(text)
        name, size, etag = kept.get("object") or ("", 0, "")
        return cls(
            object=Stored(name=name, size=size, etag=etag) if name else None,
            name=kept.get("name", ""),
            multipart=kept.get("multipart", ""),
            parts=tuple(Part(mark, size) for size, mark in kept.get("parts", ())),
            sealed=kept.get("sealed", ""),
            shared=kept.get("shared", False),
            old=tuple(kept.get("old", ())),
        )


def new_name(upload_id: str) -> str:
    """Make a name for an object of an upload that nothing had before."""
    return f"{layout.objects_of(layout.UploadId.parse(upload_id))}{secrets.token_hex(4)}"


def upload_of(name: str) -> str:
    """Say which upload an object belongs or belonged to."""
    return name.rpartition("/")[2].partition(".")[0]


def part_size(number: int, first: int, growth: Sequence[int] = (512, 512, 512)) -> int:
    """Say how many bytes the part of this number has, from 1 on.

    They double three times, so that 10,000 of them are 557 GiB where the first have 8 MiB.
    """
    size = first
    for count in growth:
        if number <= count:
            return size
        number -= count
        size *= 2
    return size
