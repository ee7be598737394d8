"""Rows of point queries, remembered for as long as nothing is committed.

In WAL mode every commit, by whichever process, ends with a new header in the WAL index: shared memory that each
connection has mapped. It holds a count of commits and checksums of the last one. A reader of SQLite begins by comparing
it with the header it saw last, and while they are the same, the pages it kept are what is committed
(https://www.sqlite.org/walformat.html, "The WAL-Index File Format"). The same comparison is made here, and takes a
tenth of a microsecond where a statement takes ten, and gives up the interpreter's lock several times.

The memory is read where SQLite has mapped it. To open the file beside would be a trap: closing it again would give up
the locks that SQLite holds on it.
"""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

from entrepot.metadata.database import Row

#: The header is there twice, and the copies differ while it is being written.
_COPY: Final = 48
#: Version of the format, and the byte that says that the header was filled in.
_START: Final = struct.Struct("=I8xB")
_VERSION: Final = 3_007_000
_MAPS: Final = Path("/proc/self/maps")
#: Rows that are remembered at most, some five hundred bytes each.
_LIMIT: Final = 8192


class Recall:
    """The rows that one connection read since the last commit; none where the WAL index cannot be found."""

    def __init__(self, database: Path) -> None:
        """Remember rows of a database; its WAL index is looked for when the first one has been read."""
        self._index = f"{os.path.realpath(database)}-shm"
        self._header: ctypes.Array[ctypes.c_char] | None = None
        self._looked = False
        self._seen: bytes | None = None
        self._rows: dict[tuple[object, ...], Row] = {}

    def moment(self) -> bytes | None:
        """Return the header, another one after each commit; None during a commit, and before the first row was read."""
        if self._header is None:
            return None
        header = self._header.raw
        return header if header == self._seen or _is_whole(header) else None

    def find(self, key: tuple[object, ...]) -> Row | None:
        """Return the row of a question, if it was asked since the last commit."""
        if self._header is None:
            return None
        header = self._header.raw
        if header == self._seen:
            return self._rows.get(key)
        self._rows.clear()
        self._seen = header if _is_whole(header) else None
        return None

    def keep(self, key: tuple[object, ...], row: Row) -> None:
        """Remember the row of a question that `find` did not know: it was read after that look."""
        if not self._looked:
            self._looked = True
            self._header = _mapped_header(self._index)
        elif self._seen is not None:
            if len(self._rows) >= _LIMIT:
                self._rows.clear()
            self._rows[key] = row

    def close(self) -> None:
        """Let go of the WAL index, before the connection closes and SQLite takes it away."""
        self._header, self._looked = None, True
        self._rows.clear()


def _is_whole(header: bytes) -> bool:
    """Tell whether the header is of the version we know, filled in, and not being written at this moment."""
    version, filled = _START.unpack_from(header)
    return version == _VERSION and bool(filled) and header[:_COPY] == header[_COPY:]


def _mapped_header(index: str) -> ctypes.Array[ctypes.c_char] | None:
    """Find the beginning of a file among the memory maps of this process."""
    try:
        maps = _MAPS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    for line in maps.splitlines():
        place, _, offset, *_, name = line.split(maxsplit=5)
        if name == index and int(offset, 16) == 0:
            return (ctypes.c_char * (2 * _COPY)).from_address(int(place.partition("-")[0], 16))
    return None
