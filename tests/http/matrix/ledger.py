"""Undoes what requests are about to commit, and keeps what it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest

from entrepot.metadata.database import Database, Row, Transaction
from entrepot.metadata.engine.postgres import PostgresDatabase
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.query import Query

#: Transactions beside what a request is for, by their names: they may be committed.
BESIDE = frozenset(
    ("sign-ins", "uses of API keys", "session", "count pulls", "blobs seen", "password verdict", "verified")
)
#: Failed sign-ins, which would make the next caller wait.
UNCOUNTED = frozenset(("count sign-ins",))

#: A statement's name, and what it was given.
Statement = tuple[str, Mapping[str, object]]


class WouldWrite(Exception):
    """The request was about to commit something."""


@dataclass(slots=True)
class Ledger:
    """What the last request did."""

    reached: list[str] = field(default_factory=list)  #: names of the transactions that were undone
    statements: list[Statement] = field(default_factory=list)  #: all that they ran
    _asking: ContextVar[bool] = field(default_factory=lambda: ContextVar("asking", default=False))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Take note of what the request within does, and not of what goes on beside it."""
        self.reached.clear()
        self.statements.clear()
        before = self._asking.set(True)
        try:
            yield
        finally:
            self._asking.reset(before)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Undo from here on."""
        with pytest.MonkeyPatch.context() as patch:
            for kind in (SqliteDatabase, PostgresDatabase):
                patch.setattr(kind, "write", self._undoing(kind.write))
            yield

    def _undoing(self, committed: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def write(database: Database, work: Callable[[Transaction], Awaitable[Any]], *, name: str = "") -> Any:
            if name in UNCOUNTED:
                return None
            if name in BESIDE or not self._asking.get():
                return await committed(database, work, name=name)

            async def undone(tx: Transaction) -> None:
                await work(_Recorded(tx, self.statements))
                self.reached.append(name)
                raise WouldWrite(name)

            return await committed(database, undone, name=name)

        return write


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A `Transaction` that writes down what it is asked."""

    _tx: Transaction
    _statements: list[Statement]

    async def one(self, query: Query, **parameters: object) -> Row | None:
        self._statements.append((query.name, parameters))
        return await self._tx.one(query, **parameters)

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        self._statements.append((query.name, parameters))
        return await self._tx.all(query, **parameters)

    async def execute(self, query: Query, **parameters: object) -> int:
        self._statements.append((query.name, parameters))
        return await self._tx.execute(query, **parameters)

    async def many(self, query: Query, rows: Sequence[Mapping[str, object]]) -> None:
        self._statements.extend((query.name, row) for row in rows)
        await self._tx.many(query, rows)

    async def now(self) -> int:
        return await self._tx.now()
