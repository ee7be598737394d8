"""Hashers that live on between the requests of an upload.

Python cannot export the state of a hash, so it stays in the process that made it; another process that gets the next
chunk stores it unhashed, and the sealing one reads what its own hasher has not seen.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from entrepot.oci.digest import Digest, new_hasher

#: Open uploads whose hasher is kept; some 300 bytes each.
_KEPT = 4096


class LiveHash:
    """The hash of the first `offset` bytes of an upload."""

    __slots__ = ("algorithm", "hasher", "offset")

    def __init__(self, algorithm: str) -> None:
        """Begin at the first byte."""
        self.algorithm = algorithm
        self.hasher = new_hasher(algorithm)
        self.offset = 0

    def update(self, parts: Sequence[bytes | memoryview]) -> None:
        """Take in the next bytes."""
        for part in parts:
            self.hasher.update(part)
            self.offset += len(part)

    def digest(self) -> Digest:
        """Give the digest of the bytes so far; more may follow."""
        return Digest(self.algorithm, self.hasher.hexdigest())


class LiveHashes:
    """The hashers of this process by upload, at most some thousands: those used longest ago go first.

    Whoever works with a hasher takes it out, so that a failure half-way leaves none behind that is wrong.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: OrderedDict[str, LiveHash] = OrderedDict()

    def take(self, upload_id: str, algorithm: str, size: int) -> LiveHash:
        """Take out the hasher of an upload of this size, or begin a new one."""
        live = self._kept.pop(upload_id, None)
        if live is None or live.algorithm != algorithm or live.offset > size:
            return LiveHash(algorithm)
        return live

    def keep(self, upload_id: str, live: LiveHash) -> None:
        """Put a hasher back that agrees with the upload's bytes."""
        if live.offset == 0:
            return
        self._kept[upload_id] = live
        self._kept.move_to_end(upload_id)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def forget(self, upload_id: str) -> None:
        """Drop the hasher of an upload that ended."""
        self._kept.pop(upload_id, None)
