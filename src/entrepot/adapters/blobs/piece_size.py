"""How large the pieces are in which bytes move: large for speed, small when many share the memory."""

from __future__ import annotations

KIB = 1024

#: Up to so many at once: pieces of this size. An upload holds up to three. A stream holds one and the server some five
#: more on their way out, all of them as long as a reader stalls; so few get the largest, which are hardly faster.
_SIZES = ((2, 1024 * KIB), (8, 512 * KIB), (16, 256 * KIB), (64, 128 * KIB))
_SMALLEST = 64 * KIB


def piece_size(at_once: int) -> int:
    """Choose the piece size for so many streams or uploads at once in this process."""
    return next((size for limit, size in _SIZES if at_once <= limit), _SMALLEST)
