"""Answers to pulls, given again while nothing has been committed since.

The answer to a pull follows from the bytes of the request, the address it came from, what is committed, and the
admission of who asks. So a request that is the same to the byte gets the same answer, without a step in between, for as
long as the database proves that nothing was committed (`Database.moment`) and the admission lasts (`Admissions`).
Where only a question tells (PostgreSQL), the one row is asked for that the answer says, and nothing else is done again.
Everything that is done for each request is done for these, too: its id, its line in the log, its count in the metrics,
and its count as a pull. What counts against a limit of rates goes the long way.

A request is named by a hash, so that neither credentials nor long headers stand in memory.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from itertools import chain
from typing import Final, NamedTuple

from entrepot.metadata.database import Database
from entrepot.metadata.dialect import SQLITE
from entrepot.telemetry.access_format import Exchange
from entrepot.web.http import Asked, Header, Repeatable, Request, Scope
from entrepot.web.middleware import request_id
from entrepot.web.middleware.access_log import exchange_of
from entrepot.web.responses import Response

_READING: Final = frozenset({"GET", "HEAD"})
_REPOSITORIES: Final = b"/v2/"
#: A request with one of these may have a body, or a name of its own that its answer repeats.
_PARTICULAR: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", request_id.HEADER})
#: Answers, and bytes of their bodies, that are remembered at most; the bodies are those of the registry's own memory.
_MOST: Final = 4096
_MOST_BYTES: Final = 16 << 20
#: Larger bodies take longer to send than to find.
_LARGEST: Final = 64 << 10


class Answer(NamedTuple):
    """An answer as it was given."""

    until: float  #: end of the admission, by the monotonic clock
    status: int
    headers: tuple[Header, ...]  #: without the request's id
    body: bytes
    rests_on: Repeatable
    exchange: Exchange  #: what the access log says of it

    async def is_still(self) -> bool:
        """Ask whether what the answer says is committed now, too."""
        return self.rests_on.is_still is not None and await self.rests_on.is_still()

    def holds(self) -> bool:
        """Tell whether the file is still there whole, where the answer says so."""
        if not self.rests_on.file:
            return True
        try:
            return os.stat(self.rests_on.file).st_size == self.rests_on.size  # noqa: PTH116 - a Path costs more
        except OSError:
            return False


class ResponseCache:
    """The answers of one worker that may be given again."""

    __slots__ = ("_answers", "_asks", "_bytes", "_clock", "_metadata", "_moment")

    def __init__(self, metadata: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Remember answers that follow from what is committed in `metadata`."""
        self._metadata = metadata
        self._clock = clock
        self._asks = metadata.dialect != SQLITE.name
        self._moment: bytes | None = None
        self._answers: dict[bytes, Answer] = {}
        self._bytes = 0

    def asked(self, scope: Scope) -> Asked | None:
        """Name a request; None when its answer is not to be remembered."""
        if scope["method"] not in _READING or not scope["raw_path"].startswith(_REPOSITORIES):
            return None
        moment = self._metadata.moment()
        if moment is None and not self._asks:
            return None
        if moment != self._moment:
            self._forget()
            self._moment = moment
        client = scope["client"]
        # No part of a request can hold a line feed, so different ones never read the same.
        first = f"{scope['method']} {client[0] if client else ''} {scope['http_version']}".encode()
        parts = (first, scope["raw_path"], scope["query_string"], *chain.from_iterable(scope["headers"]))
        return Asked(hashlib.sha256(b"\n".join(parts)).digest(), moment)

    def find(self, asked: Asked) -> Answer | None:
        """Return the answer to a request that came just now, if it may be given again."""
        answer = self._answers.get(asked.name)
        return answer if answer is not None and self._clock() < answer.until and answer.holds() else None

    def keep(self, asked: Asked, request: Request, response: Response) -> None:
        """Remember an answer, if nothing was committed while it was worked out."""
        body = response.whole_body
        if not request.admitted_until or request.repeatable is None or _is_particular(request):
            return
        if body is None or len(body) > _LARGEST:
            return
        if not self._moment == asked.moment == self._metadata.moment():
            return
        if self._asks and request.repeatable.is_still is None:
            return
        if len(self._answers) >= _MOST or self._bytes > _MOST_BYTES:
            self._forget()
        headers = tuple(header for header in response.all_headers(request) if header[0] != request_id.HEADER)
        self._bytes += len(body)
        self._answers[asked.name] = Answer(
            until=request.admitted_until,
            status=response.status,
            headers=headers,
            body=b"" if request.method == "HEAD" else body,
            rests_on=request.repeatable,
            exchange=exchange_of(request),
        )

    def _forget(self) -> None:
        self._answers.clear()
        self._bytes = 0


def _is_particular(request: Request) -> bool:
    return any(name in _PARTICULAR for name, _ in request.scope["headers"])
