"""How large the pieces are in which bytes move: large for speed, small when many share the memory."""

from __future__ import annotations

KIB = 1024

#: Up to so many at once: pieces of this size. A stream holds one piece, an upload up to three.
_SIZES = ((8, 1024 * KIB), (16, 512 * KIB), (48, 256 * KIB), (128, 128 * KIB))
_SMALLEST = 64 * KIB


def piece_size(at_once: int) -> int:
    """Choose the piece size for so many streams or uploads at once in this process."""
    return next((size for limit, size in _SIZES if at_once <= limit), _SMALLEST)
