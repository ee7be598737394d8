"""A sketch of a set of chunks: the smallest of their hashes, which are the same for the same chunks.

Two sketches say how much of the sets is in both (Broder, "On the resemblance and containment of documents", 1997), and
one says how many there are (Bar-Yossef and others, 2002).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

#: Hashes that are kept of each set, and the bytes of each.
KEPT: Final = 128
_BYTES: Final = 8
_RANGE: Final = 2.0 ** (8 * _BYTES)


@dataclass(slots=True)
class Sketching:
    """Makes a sketch, chunk by chunk."""

    _heap: list[int] = field(default_factory=list)  #: of negated hashes: the largest that is kept comes first
    _kept: set[int] = field(default_factory=set)

    def add(self, chunk: bytes) -> None:
        """Count a chunk."""
        found = int.from_bytes(blake2b(chunk, digest_size=_BYTES).digest(), "big")
        if found in self._kept:
            return
        if len(self._heap) < KEPT:
            heapq.heappush(self._heap, -found)
        elif found < -self._heap[0]:
            self._kept.discard(-heapq.heapreplace(self._heap, -found))
        else:
            return
        self._kept.add(found)

    def finish(self) -> bytes:
        """Return the sketch as it is stored."""
        return b"".join(found.to_bytes(_BYTES, "big") for found in sorted(self._kept))


def hashes_of(sketch: bytes) -> list[int]:
    """Read a sketch: its hashes, the smallest first."""
    return [int.from_bytes(sketch[at : at + _BYTES], "big") for at in range(0, len(sketch), _BYTES)]


def count_of(hashes: Sequence[int]) -> float:
    """Return how many chunks there are that differ: exactly up to `KEPT`, and beyond by how dense the smallest lie."""
    return float(len(hashes)) if len(hashes) < KEPT else (KEPT - 1) * _RANGE / max(1, hashes[-1])


def in_both(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of one's chunks that the other has too, from 0 to 1."""
    union = sorted({*one, *other})[:KEPT]
    if not union:
        return 0.0
    common = len(set(union).intersection(one).intersection(other))
    return min(1.0, common / len(union) * count_of(union) / count_of(one)) if one else 0.0
