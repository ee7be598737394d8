"""Undoes zstd, frame after frame and a little at a time, within bounds of memory and time.

A layer may have very many frames: those that are made to be read in parts have one for each file, and frames that are
to be skipped with what helps to find them. A frame says how much memory undoing it takes; layers take 8 MiB at most
as builders make them, and whoever wants more than `WINDOW` is not obeyed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

#: Binary logarithm of the bytes that a frame may look back: 32 MiB.
WINDOW: Final = 25
#: Frames of one layer; each takes some thirty microseconds, however small it is.
MOST_FRAMES: Final = 1_000_000
#: How a frame begins, or one that is to be skipped (RFC 8878, sections 3.1.1 and 3.1.2).
BEGINNING: Final = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")


class Unexpandable(Exception):
    """What was given is no zstd, or no zstd to the end."""


class TooWide(Exception):
    """A frame wants more memory than there is for it."""


class TooMany(Exception):
    """There are more frames than are looked at."""


@dataclass(slots=True)
class Frames:
    """Undoes one stream of frames, given piece by piece."""

    _frame: Any = None
    _count: int = 0

    def expand(self, piece: bytes, limit: int) -> Iterator[bytes]:
        """Yield what a piece expands to, at most `limit` bytes at a time.

        Raises:
            Unexpandable: It does not.
            TooWide: It would take too much memory.
            TooMany: It has too many frames.
        """
        packed = piece
        while packed:
            if self._frame is None or self._frame.eof:
                if self._count and not packed.strip(b"\0"):
                    return  # padding behind the end
                self._frame = self._next_frame()
            yield from self._of_frame(packed, limit)
            packed = self._frame.unused_data if self._frame.eof else b""

    def _of_frame(self, packed: bytes, limit: int) -> Iterator[bytes]:
        frame, more = self._frame, True
        while more:
            try:
                plain = frame.decompress(packed, limit)
            except _library().ZstdError as error:
                raise (TooWide if "too much memory" in str(error) else Unexpandable) from error
            if plain:
                yield plain
            packed, more = b"", not frame.eof and not frame.needs_input

    def _next_frame(self) -> Any:
        self._count += 1
        if self._count > MOST_FRAMES:
            raise TooMany
        zstd = _library()
        return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW})


def _library() -> Any:
    """Return the module; who meets no zstd does without it."""
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 - as above
    else:
        from backports import zstd  # noqa: PLC0415 - as above
    return zstd
