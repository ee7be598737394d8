"""The audit log for other programs: JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from enum import StrEnum

from entrepot.metadata import audit_log
from entrepot.metadata.audit_log import EventRecord, Filter
from entrepot.metadata.database import Reader

_PAGE = 1000
_COLUMNS = tuple(field.name for field in fields(EventRecord))
#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    """How the log is written."""

    JSONL = "jsonl"
    CSV = "csv"


async def export(reader: Reader, wanted: Filter, form: Format) -> AsyncIterator[str]:
    """Yield the events that fit a filter, newest first, piece by piece."""
    if form is Format.CSV:
        yield _csv([_COLUMNS])
    before: int | None = audit_log.NEWEST
    while before is not None:
        page = await audit_log.page(reader, wanted, limit=_PAGE, before=before)
        if page.events:
            yield render(page.events, form)
        before = page.before


def render(events: list[EventRecord], form: Format) -> str:
    """Write events down; times are RFC 3339 in UTC."""
    rows = [readable(event) for event in events]
    if form is Format.JSONL:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return _csv(tuple(_cell(value) for value in row.values()) for row in rows)


def readable(event: EventRecord) -> dict[str, object]:
    """Return an event as people read it: its columns by name, with the time as text and the detail as an object."""
    row = asdict(event)
    row["at"] = datetime.fromtimestamp(event.at / 1_000_000, UTC).isoformat(timespec="microseconds")
    row["detail"] = None if event.detail is None else json.loads(event.detail)
    return row


def _cell(value: object) -> str:
    text = "" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
