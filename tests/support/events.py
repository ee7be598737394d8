"""What the audit log holds, for tests that look whether something was told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from entrepot.metadata.database import Reader
from entrepot.metadata.query import Query
from entrepot.metadata.tables import events

_ALL = Query(
    select(
        events.c.kind, events.c.actor, events.c.project, events.c.subject, events.c.detail, events.c.result
    ).order_by(events.c.id),
    "test.events",
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event."""

    kind: str
    actor: str
    project: str | None
    subject: str | None
    detail: dict[str, Any] | None
    result: str | None


async def recorded(reader: Reader) -> list[Recorded]:
    """Return every event, oldest first."""
    rows = await reader.all(_ALL)
    return [Recorded(*row[:4], None if row[4] is None else json.loads(row[4]), row[5]) for row in rows]
