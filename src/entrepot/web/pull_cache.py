"""Pulls that were allowed a moment ago.

A client that pulls an image sends some ten requests with the same credential to the same repository, and a fleet that
starts sends thousands. Checking the token, the standing of its account and its grants is most of the work of a small
answer; here the first answer counts for one second more. The policy's own memory is shorter by that second, so that a
right that was taken is gone as soon as it promises.

Only reading is remembered, and only what was allowed. Names with passwords are left to those who count sign-ins.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from entrepot.access.model import Principal
from entrepot.access.policy import ADMISSION_SECONDS
from entrepot.access.ttl_cache import Memory
from entrepot.web.http import Request

_LIMIT = 8192
_READING = frozenset({"GET", "HEAD"})

#: Who asked, from where, for which repository, and which tags were named.
Question = tuple[bytes, str, str, tuple[str, ...]]


class Admission(NamedTuple):
    """Who was admitted, and until when that may be believed without asking (by the monotonic clock)."""

    principal: Principal
    until: float


class Admissions:
    """Who was admitted to which repository; in memory stand hashes of credentials, not the credentials."""

    def __init__(self, *, seconds: float = ADMISSION_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: Memory[Question, Admission] = Memory(limit=_LIMIT, seconds=seconds, clock=clock)
        self._seconds = seconds
        self._clock = clock

    def question(self, request: Request, tags: Sequence[str]) -> Question | None:
        """Return what is asked, None when the answer must not be remembered."""
        if request.method not in _READING:
            return None
        credential = (request.header(b"authorization") or "").encode("latin-1")
        if credential and credential[:7].lower() != b"bearer ":
            return None
        return hashlib.sha256(credential).digest(), request.client, request.name, tuple(tags)

    def find(self, question: Question) -> Admission | None:
        """Return who was admitted, if that is not long ago."""
        return self._known.find(question)

    def put(self, question: Question, principal: Principal) -> Admission:
        """Remember that somebody was admitted just now."""
        admission = Admission(principal, self._clock() + self._seconds)
        self._known.put(question, admission)
        return admission
