"""Texts out of a Helm chart's archive, with bounds on what its compression may hide."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from io import BytesIO
from typing import Any, Final, Protocol

MIB: Final = 1024 * 1024
#: The largest archive that is opened; charts have some hundred kilobytes, and Helm refuses to load huge ones.
LARGEST_ARCHIVE: Final = 20 * MIB
_LARGEST_UNPACKED: Final = 100 * MIB
_LARGEST_TEXT: Final = 2 * MIB
_MOST_FILES: Final = 10_000
#: A file of the chart itself lies one folder deep; those of the charts it brings along lie deeper.
_DEPTH: Final = 2


class _Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Bounded:
    """Reads from a stream, up to a number of bytes."""

    def __init__(self, source: _Source, most: int) -> None:
        self._source = source
        self._left = most

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes.

        Raises:
            tarfile.ReadError: There were too many.
        """
        content = self._source.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError("too large when unpacked")
        return content


def file_of_chart(archive: bytes, wanted: str) -> bytes | None:
    """Return a file of a chart, whatever the case of its name; None when there is none, or the archive is broken.

    Runs as long as unpacking takes: call it in a thread.
    """
    try:
        with gzip.GzipFile(fileobj=BytesIO(archive)) as unpacked:
            bounded: Any = _Bounded(unpacked, _LARGEST_UNPACKED)
            with tarfile.open(fileobj=bounded, mode="r|") as files:
                return _find(files, wanted.lower())
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError):
        return None


def _find(files: tarfile.TarFile, wanted: str) -> bytes | None:
    for number, file in enumerate(files):
        parts = file.name.removeprefix("./").split("/")
        if len(parts) == _DEPTH and parts[1].lower() == wanted and file.isreg() and file.size <= _LARGEST_TEXT:
            opened = files.extractfile(file)
            return None if opened is None else opened.read()
        if number == _MOST_FILES:
            break
    return None
