"""Undoes the compression of a layer, up to a bound, and never more than a little of it at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

#: Bytes that come out at a time, and of one layer.
_PIECE: Final = 1024 * 1024
#: Bytes that go in at a time: what is left of them is copied at the end of each member, and a member may have twenty.
_STEP: Final = 64 * 1024
MOST: Final = 1024 * _PIECE
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: What zlib calls gzip.
_WINDOW: Final = 16 + zlib.MAX_WBITS


class Outcome(StrEnum):
    """What came of looking into a layer."""

    WHOLE = "whole"
    CUT = "cut"  #: only its first bytes were looked at
    UNKNOWN = "unknown compression"  #: nobody can look into it here
    BROKEN = "broken"  #: it does not expand


@dataclass(slots=True)
class Expansion:
    """Expands one layer, given piece by piece; the first piece has at least four bytes, unless that is all."""

    outcome: Outcome = Outcome.WHOLE
    expanded: int = 0
    _begun: bool = False
    _gzip: Any = field(default=None)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come out."""
        return self.outcome is not Outcome.WHOLE

    def expand(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece expands to; nothing once there was too much, or it turns out that it cannot be."""
        if not self._begun:
            self._begin(piece)
        found = iter((piece,)) if self._gzip is None else self._unzip_all(piece)
        while not self.is_over and (plain := next(found, b"")):
            plain = plain[: MOST - self.expanded]
            self.expanded += len(plain)
            if self.expanded >= MOST:
                self.outcome = Outcome.CUT
            yield plain

    def _begin(self, piece: bytes) -> None:
        self._begun = True
        if piece.startswith(_ZSTD):
            self.outcome = Outcome.UNKNOWN
        elif piece.startswith(_GZIP):
            self._gzip = zlib.decompressobj(_WINDOW)

    def _unzip_all(self, piece: bytes) -> Iterator[bytes]:
        for start in range(0, len(piece), _STEP):
            yield from self._unzip(piece[start : start + _STEP])

    def _unzip(self, piece: bytes) -> Iterator[bytes]:
        """Several members may follow each other, as of layers that are made to be read in parts."""
        packed = piece
        try:
            while packed:
                if self._gzip.eof:
                    if not packed.startswith(_GZIP[:1]):
                        return  # padding behind the end
                    self._gzip = zlib.decompressobj(_WINDOW)
                plain = self._gzip.decompress(packed, _PIECE)
                packed = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail
                if plain:
                    yield plain
        except zlib.error:
            self.outcome = Outcome.BROKEN
