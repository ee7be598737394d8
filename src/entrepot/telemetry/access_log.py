"""One line per request, written beside the work.

Records are gathered and written by a thread ten times a second: a slow reader of the log must not slow the registry.
When the reader stands still, records beyond a bound are dropped and their number is said afterwards.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from entrepot.telemetry.access_format import RequestRecord, renderer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: POSIX promises that a pipe keeps writes up to this size whole, and all our processes share one.
_WHOLE_WRITE: Final = 4096
_FLUSH_SECONDS: Final = 0.1
_MAX_WAITING: Final = 50_000


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
        self._waiting: deque[RequestRecord] = deque()
        self._dropped = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, record: RequestRecord) -> None:
        """Note one answered request."""
        if not self.enabled:
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append(record)
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
        for piece in _pieces(self._lines()):
            if not _write_all(self._descriptor, piece):
                return

    def _lines(self) -> Iterable[str]:
        for _ in range(len(self._waiting)):
            yield self._render(self._waiting.popleft())
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            yield f"{dropped} access log records were dropped because their reader is too slow"


def _pieces(lines: Iterable[str]) -> Iterable[bytes]:
    """Join lines into writes that a pipe keeps whole."""
    current = bytearray()
    for line in lines:
        encoded = line.encode(errors="backslashreplace") + b"\n"
        if current and len(current) + len(encoded) > _WHOLE_WRITE:
            yield bytes(current)
            current.clear()
        current += encoded
    if current:
        yield bytes(current)


def _write_all(descriptor: int, data: bytes) -> bool:
    """Write all bytes; false when nobody reads any more, which must not end the registry."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError:
            return False
    return True
