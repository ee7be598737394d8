"""Questions that wait at the same moment go to PostgreSQL as one statement.

A pull asks for one row by its keys. What is asked in one turn of the event loop, or while the answer to earlier
questions is out, goes as one prepared statement that takes lists of keys, on one of two connections kept for this. Each
question is sent after it was asked, so its answer is what is committed; and the more callers there are, the less each
costs: at 64 callers a thirtieth of a round trip.

Such a statement is the question's own, asked for each row of keys:

    SELECT asked.place, found.* FROM unnest($1::VARCHAR[], $2::VARCHAR[]) WITH ORDINALITY AS asked (p1, p2, place)
    CROSS JOIN LATERAL (SELECT … WHERE repositories.name = asked.p1 AND tags.name = asked.p2 LIMIT 1) AS found

LIMIT keeps the planner from turning it into a join of whole tables.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from entrepot.metadata.database import Row, Statistics
from entrepot.metadata.engine.postgres_connect import Connection, Limits
from entrepot.metadata.engine.postgres_errors import NoAnswer, Retryable, translated
from entrepot.metadata.engine.postgres_metrics import PostgresMetrics
from entrepot.metadata.engine.postgres_pool import CLOSED, Pool, connect_until
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable
from entrepot.metadata.query import Compiled, Query

#: Connections that are kept for gathered questions. The second is for what waits while the first takes its time: one at
#: a time gathers most, and costs least.
LANES: Final = 2
_SLOW_SECONDS: Final = 0.005
#: Questions in one statement.
_MOST: Final = 256
#: The part of the time for an answer after which questions are asked again on a new connection.
_HASTE: Final = 0.4
#: Longest pause after a failure.
_PAUSE_SECONDS: Final = 0.2
#: The plan for a list of any length is always the same: one by key. Behind a pooler the session is not ours to change.
_GENERIC: Final = "SET plan_cache_mode = force_generic_plan"
_PARAMETER: Final = re.compile(r"\$(\d+)::(\w+)")

Answer = asyncio.Future[Row | None]


@dataclass(slots=True)
class _Kind:
    """One query, and what of it waits."""

    text: str
    constants: list[object]
    waiting: list[tuple[tuple[object, ...], Answer]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Lane:
    """One connection."""

    connection: Connection | None = None
    task: asyncio.Task[None] | None = None


class Gatherer:
    """Asks gathered questions."""

    def __init__(self, pool: Pool, limits: Limits, metrics: PostgresMetrics, statistics: Statistics) -> None:
        self._pool = pool
        self._limits = limits
        self._metrics = metrics
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()
        self._kinds: dict[Query, _Kind] = {}
        self._lanes = [_Lane() for _ in range(LANES)]
        self._scheduled = False
        self._slow: asyncio.TimerHandle | None = None
        self._closed = False
        self._open: deque[tuple[float, Answer]] = deque()  #: what is not answered, by its deadline
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, query: Query, parameters: Mapping[str, object]) -> Answer:
        """Ask for the row of a query that has one at most.

        Returns:
            The answer, in a while; DatabaseUnavailable when there is none in time.
        """
        compiled = query.compiled(POSTGRESQL)
        kind = self._kinds.get(query)
        if kind is None:
            kind = self._kinds[query] = _kind(compiled)
        values = tuple(compiled.positional(parameters)[: len(compiled.order) - len(kind.constants)])
        answer: Answer = self._loop.create_future()
        if self._closed:
            answer.set_exception(DatabaseUnavailable(CLOSED))
            return answer
        kind.waiting.append((values, answer))
        self._open.append((self._loop.time() + self._limits.answer, answer))
        if self._timer is None:
            self._timer = self._loop.call_later(self._limits.answer, self._expire)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)
        return answer

    async def close(self) -> None:
        """Answer what was asked, and close the connections."""
        self._closed = True
        tasks = [lane.task for lane in self._lanes if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.answer)
        for timer in (self._timer, self._slow):
            if timer is not None:
                timer.cancel()
        for lane in self._lanes:
            if lane.connection is not None:
                with suppress(DatabaseUnavailable), translated():
                    await lane.connection.close(timeout=1)
                self._drop(lane)

    def _turn(self) -> None:
        """Give what waits to the first connection; if it is not free, to the second one after a moment."""
        self._scheduled = False
        if self._lanes[0].task is None:
            self._start(self._lanes[0])
        else:
            self._wait_a_moment()

    def _wait_a_moment(self) -> None:
        if self._slow is None:
            self._slow = self._loop.call_later(_SLOW_SECONDS, self._help)

    def _help(self) -> None:
        """Let the second connection ask what still waits."""
        self._slow = None
        for lane in self._lanes:
            if lane.task is None:
                self._start(lane)
                return

    def _start(self, lane: _Lane) -> None:
        lane.task = self._loop.create_task(self._serve(lane))

    async def _serve(self, lane: _Lane) -> None:
        """Ask for as long as something waits."""
        try:
            while (kind := self._next()) is not None:
                questions, kind.waiting = kind.waiting[:_MOST], kind.waiting[_MOST:]
                if self._slow is not None:
                    self._slow.cancel()
                    self._slow = None
                if any(other.waiting for other in self._kinds.values()):
                    self._wait_a_moment()
                try:
                    await self._gather(lane, kind, questions)
                except DatabaseError as error:
                    await self._failed(lane, kind, questions, error)
        finally:
            lane.task = None

    def _next(self) -> _Kind | None:
        """Choose a query of which something waits; each comes round, since it goes to the end of the line."""
        for query, kind in self._kinds.items():
            if kind.waiting:
                self._kinds[query] = self._kinds.pop(query)
                return kind
        return None

    async def _gather(self, lane: _Lane, kind: _Kind, questions: list[tuple[tuple[object, ...], Answer]]) -> None:
        asked: dict[tuple[object, ...], list[Answer]] = {}
        for values, answer in questions:
            if not answer.done():
                asked.setdefault(values, []).append(answer)
        if not asked:
            return
        connection = await self._connection(lane)
        lists = map(list, zip(*asked, strict=True))
        self._statistics.statements += 1
        with translated():
            records = await connection.fetch(kind.text, *lists, *kind.constants, timeout=self._limits.answer * _HASTE)
        rows: list[Row | None] = [None] * len(asked)
        for record in records:
            place, *row = record
            rows[place - 1] = tuple(row)
        for row_or_none, answers in zip(rows, asked.values(), strict=True):
            for answer in answers:
                if not answer.done():
                    answer.set_result(row_or_none)
        while self._open and self._open[0][1].done():
            self._open.popleft()

    async def _connection(self, lane: _Lane) -> Connection:
        connection = lane.connection
        if connection is not None:
            if not connection.is_closed() and connection.generation == self._pool.generation:
                return connection
            self._drop(lane)
        connection = await connect_until(self._pool.connector, self._loop.time() + self._limits.answer)
        connection.generation = self._pool.generation
        lane.connection = connection
        self._metrics.dedicated(1)
        with translated():
            if await connection.fetchval("SELECT pg_catalog.pg_backend_pid()") == connection.get_server_pid():
                await connection.execute(_GENERIC)
        return connection

    async def _failed(
        self, lane: _Lane, kind: _Kind, questions: list[tuple[tuple[object, ...], Answer]], error: DatabaseError
    ) -> None:
        """Ask again where another connection may answer: a question changes nothing."""
        self._drop(lane)
        if not isinstance(error, NoAnswer | Retryable):
            await self._ask_each(lane, kind, questions, error)
            return
        if isinstance(error, NoAnswer):
            self._pool.distrust()
        self._metrics.retried(error.state if isinstance(error, Retryable) else "no answer")
        kind.waiting = [question for question in questions if not question[1].done()] + kind.waiting
        await asyncio.sleep(_PAUSE_SECONDS if isinstance(error, NoAnswer) else 0.01)

    async def _ask_each(
        self, lane: _Lane, kind: _Kind, questions: list[tuple[tuple[object, ...], Answer]], error: DatabaseError
    ) -> None:
        """Ask questions that the server refuses together alone: what is wrong with one is nothing to the others."""
        if len(questions) == 1:
            answer = questions[0][1]
            if not answer.done():
                answer.set_exception(error)
            return
        for question in questions:
            try:
                await self._gather(lane, kind, [question])
            except DatabaseError as own:
                await self._failed(lane, kind, [question], own)

    def _drop(self, lane: _Lane) -> None:
        if lane.connection is not None:
            lane.connection.terminate()
            lane.connection = None
            self._metrics.dedicated(-1)

    def _expire(self) -> None:
        """Refuse what was asked too long ago, wherever it is."""
        now, self._timer = self._loop.time(), None
        while self._open and (self._open[0][1].done() or self._open[0][0] <= now):
            answer = self._open.popleft()[1]
            if not answer.done():
                answer.set_exception(NoAnswer("PostgreSQL: no answer in time"))
        if self._open:
            self._timer = self._loop.call_at(self._open[0][0], self._expire)


def _kind(compiled: Compiled) -> _Kind:
    """Build the statement that asks a query's question for each row of lists of keys.

    Raises:
        TypeError: The query's parameters do not come before its constants.
    """
    text, given = gathered(compiled)
    return _Kind(text, [compiled.constants[name] for name in compiled.order[given:]])


def gathered(compiled: Compiled) -> tuple[str, int]:
    """Return the text for lists of keys, and how many of its parameters are lists; constants of the query come after.

    Raises:
        TypeError: They do not.
    """
    keys = [name for name in compiled.order if name not in compiled.constants]
    if list(compiled.order[: len(keys)]) != keys or compiled.lists:
        raise TypeError(f"query {compiled.name!r} cannot be gathered: its keys must come first, and be no lists")
    types: dict[int, str] = {}

    def key_of(found: re.Match[str]) -> str:
        number = int(found[1])
        if number > len(keys):
            return found[0]
        types[number] = found[2]
        return f"asked.p{number}::{found[2]}"

    inner = _PARAMETER.sub(key_of, compiled.text)
    lists = ", ".join(f"${number}::{kind}[]" for number, kind in sorted(types.items()))
    names = ", ".join(f"p{number}" for number in sorted(types))
    asked = f"unnest({lists}) WITH ORDINALITY AS asked ({names}, place)"
    # Built from compiled statements alone.
    text = f"SELECT asked.place, found.* FROM {asked} CROSS JOIN LATERAL ({inner} LIMIT 1) AS found"  # noqa: S608
    return text, len(keys)
