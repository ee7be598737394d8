"""CRC-32C (Castagnoli), the sum that Google Cloud Storage keeps of every object: of parts, and of parts joined.

The sum of two byte strings after each other is that of the first, moved on by the length of the second, and that of the
second: `x**(8 * length)` times the one plus the other, as polynomials over two elements modulo the CRC's own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Final

import google_crc32c

from entrepot.adapters.blobs.objects.cloud import Buffer

#: The polynomial with its lowest power in the highest bit, as the sums are written.
_POLYNOMIAL: Final = 0x82F63B78
_ONE: Final = 1 << 31
_PIECE: Final = 256 << 10
_X_TO_8: Final = 1 << 23


def of(data: Buffer) -> int:
    """Sum up bytes."""
    total, view = 0, memoryview(data)
    for start in range(0, len(view), _PIECE):  # the library takes `bytes` only, and so a copy
        total = google_crc32c.extend(total, bytes(view[start : start + _PIECE]))
    return total


def joined(parts: Iterable[tuple[int, int]]) -> int:
    """Give the sum of parts after each other, from the sum and the size of each."""
    total = 0
    for part, size in parts:
        total = _times(total, _moved_by(size)) ^ part
    return total


def written(sum_of_object: int) -> str:
    """Write a sum as the store does: base64 of its four bytes, the highest first."""
    return base64.b64encode(sum_of_object.to_bytes(4)).decode()


def _moved_by(length: int) -> int:
    """Give x**(8 * length)."""
    power, square = _ONE, _X_TO_8
    while length:
        if length & 1:
            power = _times(power, square)
        square = _times(square, square)
        length >>= 1
    return power


def _times(one: int, other: int) -> int:
    product, bit = 0, _ONE
    while bit:
        if one & bit:
            product ^= other
        bit >>= 1
        other = (other >> 1) ^ _POLYNOMIAL if other & 1 else other >> 1
    return product
