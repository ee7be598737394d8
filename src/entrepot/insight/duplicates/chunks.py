"""Cuts bytes where they say so themselves, so that the same stretch is cut the same wherever it stands.

Each byte is mapped to one bit, by a table that is as good as random, and a cut is where thirteen bits in a row are a
certain pattern: once in 8 KiB of bytes that are random themselves. Nothing else decides, so after something was put in
or taken out the cuts are the old ones again from the first one on. Mapping and search are one call each for a piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

#: Bytes of a chunk, at least and at most.
LEAST: Final = 2 * 1024
MOST: Final = 64 * 1024
#: No beginning of it is an end of it, and no run of one byte looks like it.
_PATTERN: Final = b"0001010011011"
_TABLE: Final = bytes(ord("0") + blake2b(bytes([byte]), key=b"chunks").digest()[0] % 2 for byte in range(256))


@dataclass(slots=True)
class Chunks:
    """Cuts one stream, given piece by piece."""

    _rest: bytes = b""

    def cut(self, piece: bytes) -> Iterator[bytes]:
        """Yield the chunks that are complete with this piece."""
        data = self._rest + piece
        marks = data.translate(_TABLE)
        start = 0
        while True:
            found = marks.find(_PATTERN, start + LEAST - len(_PATTERN), start + MOST)
            if found >= 0:
                end = found + len(_PATTERN)
            elif len(data) - start >= MOST:
                end = start + MOST
            else:
                break
            yield data[start:end]
            start = end
        self._rest = data[start:]

    def last(self) -> Iterator[bytes]:
        """Yield what is left at the end."""
        if self._rest:
            yield self._rest
        self._rest = b""
