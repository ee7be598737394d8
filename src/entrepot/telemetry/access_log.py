"""One line per request, written beside the work.

Lines are gathered and written by a thread ten times a second: a slow reader of the log must not slow the registry. When
the reader stands still, records beyond a bound are dropped and their number is said afterwards. Each line is made where
its request ends: made in the thread, all of them would hold the interpreter's lock for milliseconds on end.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from entrepot.telemetry.access_format import RequestRecord, renderer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: POSIX promises that a pipe keeps writes up to this size whole, and all our processes share one.
_WHOLE_WRITE: Final = 4096
#: A file keeps writes of any size whole; each one costs a change of threads.
_FILE_WRITE: Final = 1 << 20
_FLUSH_SECONDS: Final = 0.1
_MAX_WAITING: Final = 50_000
_MAX_WAITING_BYTES: Final = 32 << 20


class AccessLog:
    """Writes the access log to a file descriptor (standard output), as registry:2 does.

    Args:
        formatter: `text` for Apache's combined format, `json` or `logstash` for structured records.
        enabled: False for `log.accesslog.disabled`.
        descriptor: Where to write.
        fields: `log.fields`, added to structured records.
    """

    def __init__(
        self,
        *,
        formatter: str = "text",
        enabled: bool = True,
        descriptor: int = 1,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self.enabled = enabled
        self._descriptor = descriptor
        self._render = renderer(formatter, fields or {})
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, record: RequestRecord) -> None:
        """Note one answered request."""
        if not self.enabled:
            return
        if len(self._waiting) >= _MAX_WAITING or self._waiting_bytes >= _MAX_WAITING_BYTES:
            self._dropped += 1
            return
        line = self._render(record).encode(errors="backslashreplace")
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        if self._thread is None:
            self._start()

    def close(self) -> None:
        """Write what waits and stop."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        self._flush()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(_FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        for piece in _pieces(self._lines(), _whole_write(self._descriptor)):
            if not _write_all(self._descriptor, piece):
                return

    def _lines(self) -> Iterable[bytes]:
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        yield from lines
        self._waiting_bytes -= sum(map(len, lines))
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            yield b"%d access log records were dropped because their reader is too slow" % dropped


def _whole_write(descriptor: int) -> int:
    """Return how many bytes one write to a descriptor keeps together, whoever else writes there."""
    try:
        return _FILE_WRITE if stat.S_ISREG(os.fstat(descriptor).st_mode) else _WHOLE_WRITE
    except OSError:
        return _WHOLE_WRITE


def _pieces(lines: Iterable[bytes], most: int) -> Iterable[bytes]:
    """Join lines into writes of at most so many bytes, and of one line at least."""
    current: list[bytes] = []
    size = 0
    for line in lines:
        if current and size + len(line) + 1 > most:
            yield b"\n".join((*current, b""))
            current, size = [], 0
        current.append(line)
        size += len(line) + 1
    if current:
        yield b"\n".join((*current, b""))


def _write_all(descriptor: int, data: bytes) -> bool:
    """Write all bytes; false when nobody reads any more, which must not end the registry."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError:
            return False
    return True
