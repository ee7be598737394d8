"""Byte ranges: of blobs (RFC 9110 section 14) and of upload chunks (distribution specification, end-5)."""

import re
from dataclasses import dataclass

from entrepot.oci.errors import BlobRangeInvalid, UploadRangeInvalid

_RANGE = re.compile(r"(?i:bytes)=[ \t]*([0-9]*)-([0-9]*)[ \t]*")
_CONTENT_RANGE = re.compile(r"(?:(?i:bytes)[ =])?[ \t]*([0-9]{1,19})-([0-9]{1,19})(?:/(\*|[0-9]{1,19}))?")

#: Larger than any blob; longer numbers are cut to this before anybody counts with them.
_BEYOND = 10**18
_MAX_DIGITS = 18


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


def parse_range(value: str | None, size: int) -> ByteRange | None:
    """Read a Range header for a blob of this size.

    ``None`` means to send the whole blob: there is no header, its unit or form is unknown, it asks for several ranges
    (which a server may ignore, and which costs nothing here however many there are), or the blob is empty, because
    some clients send ``bytes=0-`` with everything.

    Raises:
        BlobRangeInvalid: The one range asked for has no byte of the blob in it, or ends before it starts.
    """
    match = _RANGE.fullmatch(value.strip(" \t")) if value else None
    if match is None or size == 0:
        return None
    first, last = match.groups()
    if first:
        return _from(_number(first), _number(last) if last else _BEYOND, size)
    return _suffix(_number(last), size) if last else None


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
