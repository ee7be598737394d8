"""Byte ranges: of blobs (RFC 9110 section 14) and of upload chunks (distribution specification, end-5)."""

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from entrepot.oci.errors import BlobRangeInvalid, UploadRangeInvalid

_RANGE = re.compile(r"(?i:bytes)=[ \t]*([0-9]*)-([0-9]*)[ \t]*")
_SEVERAL = re.compile(r"(?i:bytes)=([0-9, \t-]*)")
_ONE_OF_SEVERAL = re.compile(r"([0-9]*)-([0-9]*)")
_CONTENT_RANGE = re.compile(r"(?:(?i:bytes)[ =])?[ \t]*([0-9]{1,19})-([0-9]{1,19})(?:/(\*|[0-9]{1,19}))?")

#: Larger than any blob; longer numbers are cut to this before anybody counts with them.
_BEYOND = 10**18
_MAX_DIGITS = 18
#: Each of several ranges costs a head of its own in the answer and a look at the file.
MOST_RANGES = 16


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a blob that is known to lie inside of it."""

    start: int
    #: At least 1.
    length: int

    @property
    def last(self) -> int:
        """The position of the last byte, as Content-Range tells it."""
        return self.start + self.length - 1


def parse_ranges(value: str | None, size: int) -> tuple[ByteRange, ...]:
    """Read a Range header for a blob of this size.

    No ranges mean to send the whole blob: there is no header, its unit or form is unknown, it asks for more than
    `MOST_RANGES` or for the same bytes twice (which costs nothing here, however many there are), or the blob is empty,
    because some clients send ``bytes=0-`` with everything. So ranges never have more bytes than the blob.

    Raises:
        BlobRangeInvalid: No range asked for has a byte of the blob in it, or the only one ends before it starts.
    """
    text = value.strip(" \t") if value else ""
    if not text or size == 0:
        return ()
    match = _RANGE.fullmatch(text)
    if match is None:
        return _several(text, size)
    first, last = match.groups()
    if first:
        return (_from(_number(first), _number(last) if last else _BEYOND, size),)
    return (_suffix(_number(last), size),) if last else ()


def _several(text: str, size: int) -> tuple[ByteRange, ...]:
    """Read several ranges; what lies outside of the blob is left out (RFC 9110, section 14.2)."""
    match = _SEVERAL.fullmatch(text) if text.count(",") <= 2 * MOST_RANGES else None
    parts = [] if match is None else [part for part in (each.strip(" \t") for each in match[1].split(",")) if part]
    if not 0 < len(parts) <= MOST_RANGES:
        return ()
    found = []
    for part in parts:
        bounds = _ONE_OF_SEVERAL.fullmatch(part)
        if bounds is None or part == "-":
            return ()
        first, last = bounds.groups()
        if first and last and _number(last) < _number(first):
            return ()
        with suppress(BlobRangeInvalid):
            found.append(
                _from(_number(first), _number(last) if last else _BEYOND, size)
                if first
                else _suffix(_number(last), size)
            )
    if not found:
        raise BlobRangeInvalid(size)
    in_order = sorted(found, key=lambda one: one.start)
    return () if any(after.start <= before.last for before, after in pairwise(in_order)) else tuple(found)


def _from(first: int, last: int, size: int) -> ByteRange:
    if first >= size or last < first:
        raise BlobRangeInvalid(size)
    return ByteRange(first, min(last, size - 1) - first + 1)


def _suffix(length: int, size: int) -> ByteRange:
    if length == 0:
        raise BlobRangeInvalid(size)
    start = max(size - length, 0)
    return ByteRange(start, size - start)


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return _BEYOND if len(significant) > _MAX_DIGITS else int(significant or "0")


def parse_content_range(value: str) -> tuple[int, int]:
    """Read an upload chunk's Content-Range: first and last position, both included.

    The distribution specification writes ``0-99``; HTTP's own ``bytes 0-99/200`` is taken as well.

    Raises:
        UploadRangeInvalid: Malformed, the end before the start, or the end outside of the total.
    """
    match = _CONTENT_RANGE.fullmatch(value.strip(" \t"))
    if match is None:
        raise UploadRangeInvalid(message="invalid Content-Range: expected <first>-<last>, both included")
    first, last = int(match[1]), int(match[2])
    total = match[3]
    if last < first or (total not in (None, "*") and last >= int(total)):
        raise UploadRangeInvalid(message="invalid Content-Range: the end lies before the start or beyond the total")
    return first, last
