"""The months that PostgreSQL keeps events in: made ahead, and dropped whole (`migrations.monthly_events`).

An event belongs to the month of its time, and to its place in the chain, which is the order in which it was sealed. At
the end of a month both orders may cross for some moments.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import bindparam, delete, func, or_, select

from entrepot.metadata import clock
from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.engine.ddl import change_tables, run_all
from entrepot.metadata.query import Query, RawQuery
from entrepot.metadata.tables import events

#: Months that are made before they begin, beside the present one.
AHEAD: Final = 2
#: Only one node changes them at a time. The number is any, but ours.
_ONE_NODE: Final = 7305808869232003
_NAME: Final = re.compile(r"events_(\d{4})_(\d{2})")
LIST: Final = (
    "SELECT CAST(relname AS text) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
    " WHERE inhparent = to_regclass('events') ORDER BY relname"
)
_LIST: Final = RawQuery(LIST, "list the months of events")
_E = events.c
_WITHIN = (_E.at >= bindparam("first", type_=WHOLE), _E.at < bindparam("end", type_=WHOLE))
_OF_MONTH = Query(
    select(func.count(), func.max(_E.sequence), func.count(_E.id).filter(_E.seal.is_(None))).where(*_WITHIN),
    "event_months.of_month",
)
_SEAL_OF = Query(select(_E.seal).where(_E.sequence == bindparam("sequence"), *_WITHIN), "event_months.seal_of")
_OUTSIDE = or_(_E.at < bindparam("first", type_=WHOLE), _E.at >= bindparam("end", type_=WHOLE))
_CROSSING = Query(
    select(func.count(), func.max(_E.at)).where(_E.sequence <= bindparam("last", type_=WHOLE), _OUTSIDE),
    "event_months.crossing",
)
_REMOVE_CROSSING = Query(
    delete(events).where(_E.sequence <= bindparam("last", type_=WHOLE), _OUTSIDE), "event_months.remove_crossing"
)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of events; its times in microseconds since the epoch."""

    year: int
    number: int

    @classmethod
    def of(cls, at: int) -> Month:
        """Return the month of a time."""
        when = datetime.fromtimestamp(at / clock.MICROSECONDS, UTC)
        return cls(when.year, when.month)

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def first(self) -> int:
        """When it begins."""
        return int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp()) * clock.MICROSECONDS

    @property
    def end(self) -> int:
        """When the next one begins."""
        return self.next.first

    @property
    def table(self) -> str:
        """The table that holds it."""
        return f"events_{self.year:04}_{self.number:02}"

    def statements(self) -> list[str]:
        """Return what makes it, and takes in what lies elsewhere for want of it."""
        bounds = f"at >= {self.first} AND at < {self.end}"
        taken = f"WITH here AS (DELETE FROM events_other WHERE {bounds} RETURNING *)"  # noqa: S608 - all of it is ours
        return [
            f"CREATE TABLE {self.table} (LIKE events INCLUDING DEFAULTS)",
            f"{taken} INSERT INTO {self.table} SELECT * FROM here",  # noqa: S608 - as above
            f"ALTER TABLE events ATTACH PARTITION {self.table} FOR VALUES FROM ({self.first}) TO ({self.end})",
        ]


@dataclass(frozen=True, slots=True)
class Whole:
    """A month that may be dropped: how many events go, and the last link of the chain that goes with them."""

    events: int
    sequence: int
    seal: str


async def months(reader: Reader) -> list[Month]:
    """Return the months that there are, the oldest first."""
    return named(row[0] for row in await reader.all(_LIST))


def named(tables: Iterable[str]) -> list[Month]:
    """Return the months among the tables that events lie in, the oldest first."""
    found = map(_NAME.fullmatch, tables)
    return sorted(Month(int(name[1]), int(name[2])) for name in found if name is not None)


def missing(there: list[Month], first: int, last: int) -> list[Month]:
    """Return the months from one time to another that are not there."""
    month, wanted = Month.of(first), []
    while month <= Month.of(last):
        if month not in there:
            wanted.append(month)
        month = month.next
    return wanted


async def make_ahead(database: Database) -> None:
    """Make the months that will be needed; on SQLite there are none."""
    if database.dialect == SQLITE.name:
        return
    now = clock.now()
    last = Month.of(now)
    for _ in range(AHEAD):
        last = last.next
    for month in missing(await months(database), now, last.first):

        async def make(tx: Transaction, month: Month = month) -> None:
            if month not in await months(tx):
                await run_all(tx, month.statements())

        await change_tables(database, _ONE_NODE, make, name="make a month of events")


async def drop_old(database: Database, before: int, note: Callable[[Transaction, Whole], Awaitable[None]]) -> int:
    """Drop the months that have ended before a time, from the oldest on; return how many events went.

    A month stays while one of its events is not sealed, or while an event that is to stay was sealed before its last.

    Args:
        database: Where they are.
        before: Events from then on stay.
        note: Called in the transaction that drops one, with where the chain begins afterwards.
    """
    total = 0
    for month in await months(database):
        if month.end > before:
            break

        async def drop(tx: Transaction, month: Month = month) -> int | None:
            whole = await _whole(tx, month, before)
            if whole is None:
                return None
            if whole.seal:
                await note(tx, whole)
                await tx.execute(_REMOVE_CROSSING, last=whole.sequence, first=month.first, end=month.end)
            await tx.execute(RawQuery(f"DROP TABLE IF EXISTS {month.table}"))
            return whole.events

        gone = await change_tables(database, _ONE_NODE, drop, name="drop a month of events")
        if gone is None:
            break
        total += gone
    return total


async def _whole(reader: Reader, month: Month, before: int) -> Whole | None:
    """Say what goes with a month; None while it has to stay."""
    row = await reader.one(_OF_MONTH, first=month.first, end=month.end)
    assert row is not None
    count, last, unsealed = row
    if unsealed:
        return None
    if not count:
        return Whole(0, 0, "")
    crossing = await reader.one(_CROSSING, last=last, first=month.first, end=month.end)
    assert crossing is not None
    if crossing[0] and crossing[1] >= before:
        return None
    seal = await reader.one(_SEAL_OF, sequence=last, first=month.first, end=month.end)
    assert seal is not None
    return Whole(count + crossing[0], last, seal[0])
