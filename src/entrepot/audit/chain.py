"""The chain of hashes over the audit log (hardening: any edit, deletion or change of order shows).

Each event's seal is the SHA-256 of the seal before it, the event's place and the event as canonical JSON. The first
seal stands on `GENESIS`; after old events were removed, on the seal of the last one that went, which is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from entrepot.metadata.audit_log import EventRecord

GENESIS = "0" * 64
_NOT_HASHED = ("sequence", "seal")


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the chain and the seal there."""

    sequence: int
    seal: str

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str | None) -> Link:
        """Read it from JSON; nothing stands for the beginning."""
        return START if text is None else cls(**json.loads(text))


START = Link(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain does not hold."""

    sequence: int
    event: int | None
    reason: str


def canonical(event: EventRecord) -> bytes:
    """Return an event in the one form that is hashed: its columns by name, without those of the chain."""
    columns = {name: value for name, value in asdict(event).items() if name not in _NOT_HASHED}
    return json.dumps(columns, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def seal_of(previous: str, sequence: int, event: EventRecord) -> str:
    """Return the seal of an event at a place of the chain."""
    return hashlib.sha256(f"{previous}\n{sequence}\n".encode() + canonical(event)).hexdigest()


def extend(head: Link, events: Iterable[EventRecord]) -> tuple[Link, list[tuple[int, int, str]]]:
    """Chain events to a head; return the new head, and of each event its number, place and seal."""
    seals: list[tuple[int, int, str]] = []
    for event in events:
        place = head.sequence + 1
        head = Link(place, seal_of(head.seal, place, event))
        seals.append((event.id, place, head.seal))
    return head, seals


def check(last: Link, events: Iterable[EventRecord]) -> tuple[Link, list[Break]]:
    """Follow the chain from a link that holds; return the last link seen, and every place where it breaks.

    After a break the check goes on from the seal that stands there, so that one edit is one break and not a thousand.
    """
    breaks: list[Break] = []
    for event in events:
        assert event.sequence is not None
        assert event.seal is not None
        expected = last.sequence + 1
        if event.sequence != expected:
            reason = f"{event.sequence - expected} events are missing before this one"
            breaks.append(Break(event.sequence, event.id, reason))
        elif event.seal != seal_of(last.seal, event.sequence, event):
            breaks.append(Break(event.sequence, event.id, "the event, or the one before it, was changed"))
        last = Link(event.sequence, event.seal)
    return last, breaks
