"""The steps of a move, whatever the databases are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Table

from entrepot.metadata import clock
from entrepot.metadata.database import Row
from entrepot.metadata.move.sides import (
    TABLES,
    WORK,
    Arrival,
    Change,
    Key,
    MoveFailed,
    Rows,
    Snapshot,
    Source,
    Target,
    columns_of,
    key_of,
)
from entrepot.metadata.tables import events
from entrepot.telemetry.progress import Progress

#: Rows of one batch.
BATCH: Final = 5_000
#: Changes that one transaction of a round brings.
_ROUND: Final = 10_000
#: With so few left, or after so many rounds, the last one may begin.
_FEW: Final = 2_000
_MOST_ROUNDS: Final = 50
#: Events of so long ago get months of their own.
_LONGEST_SECONDS: Final = 366 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was moved, and how."""

    rows: Mapping[str, int] = field(default_factory=dict)  #: by table, at the end
    #: By table: SHA-256 over all rows of both sides, when they were compared.
    hashes: Mapping[str, str] = field(default_factory=dict)
    changed: int = 0  #: rows that were brought after the copy, each compared too
    rounds: int = 0
    held_seconds: float = 0.0  #: for which writers waited


async def move(source: Source, target: Target, to: str, progress: Progress) -> Moved:
    """Move everything from one database to another, and leave the first.

    Args:
        source: The database that is left; it may be in use.
        target: An empty database, or one into which this move was begun.
        to: How people are to be told of it, without its password.
        progress: Told of rows copied and compared.

    Raises:
        MoveFailed: One of both is not fit, or they are not equal in the end; the source stays in use.
        Stopped: Somebody asked for an end; begun again, it goes on from there.
    """
    identity = await source.begin()
    left_to = await source.left_to()
    if left_to is not None:
        if not await target.is_ready(identity):
            raise MoveFailed(f"this registry has moved to {left_to} already")
        await target.open()
        return Moved()
    arrival = await target.begin(identity)
    await _copy(source, target, arrival, progress)
    catching_up = _CatchingUp(source, target)
    await catching_up.until_few(progress)
    hashes = await catching_up.compare(progress)
    await catching_up.until_few(progress)
    await progress.say("last round: writers wait")
    began = time.monotonic()
    async with source.held() as held:
        await catching_up.round(held)
        rows = await _counted(held, target)
        work = {table: await held.work(table) for table in WORK}
        await target.complete(await held.numbers(), work, arrival)
        await held.leave(to)
    seconds = time.monotonic() - began
    await target.open()
    return Moved(
        rows=rows, hashes=hashes, changed=catching_up.rows, rounds=catching_up.rounds, held_seconds=round(seconds, 3)
    )


async def copy_at_once(snapshot: Snapshot, target: Target, name: str, progress: Progress) -> None:
    """Copy everything as it was at one moment into a target that nobody uses, each batch compared when it is there.

    Args:
        snapshot: The source; it may be in use, and learns nothing of it.
        target: An empty database, or one into which a copy of this name was begun: it is begun again.
        name: What the copy is called in the target until it is complete; programs keep off until then.
        progress: Told of rows.

    Raises:
        MoveFailed: The target is not fit, or does not hold what was put into it.
        Stopped: Somebody asked for an end.
    """
    arrival = await target.begin(name, anew=True)
    total, done = sum([await snapshot.count(table) for table in TABLES]), 0
    await target.make_months(*await _span(snapshot))
    for table in TABLES:
        after: Key | None = None
        while True:
            rows = await snapshot.page(table, after, BATCH)
            await target.add(table, rows, arrival)
            there = await target.page(table, after, BATCH)
            if rows != there:
                raise _unequal(table, rows, there)
            done += len(rows)
            await progress.step(done, total)
            if len(rows) < BATCH:
                break
            after = key_of(table, rows[-1])
    await target.complete(await snapshot.numbers(), {}, arrival)
    await target.open()


async def _copy(source: Source, target: Target, arrival: Arrival, progress: Progress) -> None:
    """Copy all tables from one snapshot; what an earlier attempt copied and has changed since is taken out first."""
    async with source.snapshot() as snapshot:
        total = sum([await snapshot.count(table) for table in TABLES])
        done = 0
        await target.make_months(*await _span(snapshot))
        if arrival.copied:
            await progress.say("going on with an earlier attempt")
            stale = await snapshot.changes(limit=2**62)
            await target.replace({table: dict.fromkeys(keys) for table, keys in _keys_of(stale).items()})
        for table in TABLES:
            last = arrival.copied.get(table.name, [])
            done += await target.count(table) if table.name in arrival.copied else 0
            after: Key | None = tuple(last) if last else None
            while last is not None:
                rows = await snapshot.page(table, after, BATCH)
                after = key_of(table, rows[-1]) if rows else after
                last = arrival.copied[table.name] = list(after or ()) if len(rows) == BATCH else None
                await target.add(table, rows, arrival)
                done += len(rows)
                await progress.step(done, total)
    await progress.say(f"copied {done:,} rows")


async def _span(snapshot: Snapshot) -> tuple[int, int]:
    """Return the times of the first event, and of now; what is older than some years needs no month of its own."""
    at = columns_of(events).index("at")
    first = await snapshot.page(events, None, 1)
    now = clock.now()
    return (min(max(first[0][at], clock.after(-_LONGEST_SECONDS)), now), now) if first else (now, now)


class _CatchingUp:
    """Brings what changed since, and compares."""

    def __init__(self, source: Source, target: Target) -> None:
        self._source = source
        self._target = target
        self.rounds = 0
        self.rows = 0

    async def until_few(self, progress: Progress) -> None:
        """Go round until few changes are left."""
        for _ in range(_MOST_ROUNDS):
            async with self._source.snapshot() as snapshot:
                brought = await self.round(snapshot)
            await self._source.forget(brought)
            await progress.say(f"round {self.rounds}: {len(brought):,} changes")
            if len(brought) <= _FEW:
                return

    async def round(self, snapshot: Snapshot) -> list[Change]:
        """Bring what a snapshot has more than the target; returns the changes that the target has now."""
        self.rounds += 1
        changes = await snapshot.changes(limit=2**62)
        for first in range(0, len(changes), _ROUND):
            some = changes[first : first + _ROUND]
            wanted: dict[Table, dict[Key, Row | None]] = {}
            for table, keys in _keys_of(some).items():
                found = await snapshot.find(table, keys)
                wanted[table] = {key: found.get(key) for key in keys}
            await self._target.replace(wanted)
            for table, rows in wanted.items():
                arrived = await self._target.find(table, list(rows))
                _require_equal(table, {key: row for key, row in rows.items() if row is not None}, arrived)
                self.rows += len(rows)
        return changes

    async def compare(self, progress: Progress) -> dict[str, str]:
        """Compare every row of both sides, with the target at the moment of a snapshot; returns their hashes."""
        async with self._source.snapshot() as snapshot:
            brought = await self.round(snapshot)
            total = sum([await snapshot.count(table) for table in TABLES])
            done, hashes = 0, {}
            for table in TABLES:
                hashed, after = hashlib.sha256(), None
                while True:
                    ours, theirs = await _pages(snapshot, self._target, table, after)
                    if ours != theirs:
                        raise _unequal(table, ours, theirs)
                    for row in ours:
                        hashed.update(repr(row).encode())
                    done += len(ours)
                    await progress.step(done, total)
                    if len(ours) < BATCH:
                        break
                    after = key_of(table, ours[-1])
                hashes[table.name] = hashed.hexdigest()
        await self._source.forget(brought)
        await progress.say(f"compared {done:,} rows: they are equal")
        return hashes


async def _pages(one: Rows, other: Rows, table: Table, after: Key | None) -> tuple[list[Row], list[Row]]:
    return await one.page(table, after, BATCH), await other.page(table, after, BATCH)


async def _counted(held: Rows, target: Rows) -> dict[str, int]:
    """Count every table on both sides."""
    rows = {}
    for table in TABLES:
        ours, theirs = await held.count(table), await target.count(table)
        if ours != theirs:
            raise MoveFailed(f"{table.name} has {ours:,} rows here and {theirs:,} there; nothing was switched over")
        rows[table.name] = ours
    return rows


def _keys_of(changes: Sequence[Change]) -> dict[Table, list[Key]]:
    """Return the keys of changed rows, each once, in the order of the tables."""
    found: dict[str, dict[Key, None]] = {}
    for change in changes:
        found.setdefault(change.table, {})[change.key] = None
    return {table: list(found[table.name]) for table in TABLES if table.name in found}


def _require_equal(table: Table, wanted: Mapping[Key, Row], found: Mapping[Key, Row]) -> None:
    if wanted != found:
        raise _unequal(table, list(wanted.values()), list(found.values()))


def _unequal(table: Table, ours: Sequence[Row], theirs: Sequence[Row]) -> MoveFailed:
    """Say which row differs, by its key alone: rows hold hashes of secrets."""
    pairs = zip(ours, theirs, strict=False)
    first = next((one for one, other in pairs if one != other), None) or (ours or theirs)[-1]
    return MoveFailed(f"row {key_of(table, first)} of {table.name} is not the same on both sides; nothing was switched")
