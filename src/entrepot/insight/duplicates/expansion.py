"""Undoes the compression of a layer, up to a bound, and never more than a little of it at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from entrepot.insight.duplicates import zstd

#: Bytes that come out at a time, and of one layer.
_PIECE: Final = 1024 * 1024
#: Bytes that go in at a time: what is left of them is copied at the end of each member, and a member may have twenty.
_STEP: Final = 64 * 1024
MOST: Final = 1024 * _PIECE
_GZIP: Final = b"\x1f\x8b"
#: What zlib calls gzip.
_WINDOW: Final = 16 + zlib.MAX_WBITS


class Outcome(StrEnum):
    """What came of looking into a layer."""

    WHOLE = "whole"
    CUT = "cut"  #: only its first bytes were looked at
    WIDE = "takes too much memory"  #: it is packed so that nobody may look into it here
    BROKEN = "broken"  #: it does not expand


@dataclass(slots=True)
class Expansion:
    """Expands one layer, given piece by piece; the first piece has at least four bytes, unless that is all."""

    outcome: Outcome = Outcome.WHOLE
    expanded: int = 0
    _begun: bool = False
    _gzip: Any = field(default=None)
    _zstd: zstd.Frames | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come out."""
        return self.outcome is not Outcome.WHOLE

    def expand(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece expands to; nothing once there was too much, or it turns out that it cannot be."""
        if not self._begun:
            self._begin(piece)
        found = self._undone(piece)
        while not self.is_over and (plain := next(found, b"")):
            plain = plain[: MOST - self.expanded]
            self.expanded += len(plain)
            if self.expanded >= MOST:
                self.outcome = Outcome.CUT
            yield plain

    def _begin(self, piece: bytes) -> None:
        self._begun = True
        if zstd.BEGINNING.match(piece):
            self._zstd = zstd.Frames()
        elif piece.startswith(_GZIP):
            self._gzip = zlib.decompressobj(_WINDOW)

    def _undone(self, piece: bytes) -> Iterator[bytes]:
        if self._gzip is None and self._zstd is None:
            yield piece
            return
        undo = self._unzip if self._zstd is None else partial(self._unframe, self._zstd)
        for start in range(0, len(piece), _STEP):
            yield from undo(piece[start : start + _STEP])
            if self.is_over:
                return

    def _unframe(self, frames: zstd.Frames, piece: bytes) -> Iterator[bytes]:
        try:
            yield from frames.expand(piece, _PIECE)
        except zstd.Unexpandable:
            self.outcome = Outcome.BROKEN
        except zstd.TooWide:
            self.outcome = Outcome.WIDE
        except zstd.TooMany:
            self.outcome = Outcome.CUT

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
