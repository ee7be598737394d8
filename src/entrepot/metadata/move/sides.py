"""What a database does in a move, as its source and as its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import Table

from entrepot.metadata.database import Row
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.tables import changes, metadata, schema, sums
from entrepot.metadata.work_tables import upload_sessions, web_sessions

#: The key of a row: the values of its primary key.
Key = tuple[Any, ...]

#: What is copied row by row, in an order in which rows come after those they refer to. The sums are added up; how often
#: something was changed each database counts for itself.
TABLES: Final = tuple(table for table in metadata.sorted_tables if table not in (schema, sums, changes))
#: Of the work in progress only this is taken along, at the end: uploads that clients go on with, and who is signed in.
WORK: Final = (upload_sessions, web_sessions)
#: Where the source notes what changes.
CHANGES: Final = "move_changes"
#: Where either notes how far a move is; see `metadata.move_mark`.
STATE: Final = "move_state"
#: What a write meets after the move.
MOVED: Final = "this registry has moved to another database"


class MoveFailed(DatabaseError):
    """A move cannot begin, or go on; the message says why and what to do."""


def columns_of(table: Table) -> list[str]:
    """Return the names of a table's columns."""
    return [column.name for column in table.columns]


def key_columns(table: Table) -> list[str]:
    """Return the names of the columns of its key."""
    return [column.name for column in table.primary_key.columns]


def key_of(table: Table, row: Row) -> Key:
    """Return the key of a row."""
    names = columns_of(table)
    return tuple(row[names.index(name)] for name in key_columns(table))


@dataclass(frozen=True, slots=True)
class Change:
    """That a row came, changed or went."""

    id: int
    table: str
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What is not a row: up to which number each table has given ids, and sums by name with how far they reach."""

    sequences: Mapping[str, int]
    sums: Mapping[str, tuple[int, int]]


@dataclass(slots=True, kw_only=True)
class Arrival:
    """How far the copy into a target is."""

    source: str  #: the identity of the move
    copied: dict[str, list[Any] | None] = field(default_factory=dict)  #: by table: the last key, None for all of it
    is_ready: bool = False  #: everything is there, and nothing but `open` is left


class Rows(Protocol):
    """Reads rows, always as they were at one moment."""

    async def page(self, table: Table, after: Key | None, limit: int) -> list[Row]:
        """Return the next rows in the order of their keys."""
        ...

    async def find(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row]:
        """Return those of some rows that are there."""
        ...

    async def count(self, table: Table) -> int:
        """Count the rows."""
        ...


class Snapshot(Rows, Protocol):
    """The source at one moment."""

    async def changes(self, limit: int) -> list[Change]:
        """Return what has changed and was not forgotten, the oldest first."""
        ...

    async def numbers(self) -> Numbers:
        """Return what is not a row."""
        ...

    async def work(self, table: Table) -> list[Row]:
        """Return the rows of a table of work in progress."""
        ...


class Held(Snapshot, Protocol):
    """The source while nobody else writes to it."""

    async def leave(self, to: str) -> None:
        """Mark it as left, with the end of the block, so that nobody writes to it any more."""
        ...


class Source(Protocol):
    """The database that is left."""

    async def begin(self) -> str:
        """Note what changes from now on, unless it was left; return the identity of the move until it is given up."""
        ...

    async def left_to(self) -> str | None:
        """Say where a move that has ended went; None while it has not."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Look at one moment."""
        ...

    def held(self) -> AbstractAsyncContextManager[Held]:
        """Let all writers wait; what was marked counts when the block ends well."""
        ...

    async def forget(self, changes: Sequence[Change]) -> None:
        """Forget changes that the target has."""
        ...

    async def give_up(self) -> None:
        """Forget the move; a source that was marked may be written again."""
        ...


class Target(Rows, Protocol):
    """The database that is moved to."""

    async def begin(self, source: str, *, anew: bool = False) -> Arrival:
        """Make it ready to be filled; return how far an earlier attempt came, or with `anew` forget that one.

        Raises:
            MoveFailed: It holds something else.
        """
        ...

    async def make_months(self, first: int, last: int) -> None:
        """Make ready for events from one time to another, where they are kept by month."""
        ...

    async def is_ready(self, source: str) -> bool:
        """Tell whether everything of a move is there, and nothing but `open` is left."""
        ...

    async def add(self, table: Table, rows: Sequence[Row], arrival: Arrival) -> None:
        """Add rows that are not there, and note how far that is, in one transaction."""
        ...

    async def replace(self, rows: Mapping[Table, Mapping[Key, Row | None]]) -> None:
        """Bring rows to what they are at the source, or remove them (None), in one transaction."""
        ...

    async def complete(self, numbers: Numbers, work: Mapping[Table, Sequence[Row]], arrival: Arrival) -> None:
        """Bring the rules of the schema in force, and note that everything is there."""
        ...

    async def open(self) -> None:
        """Let programs use it."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
