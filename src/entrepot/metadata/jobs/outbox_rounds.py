"""Handing the outbox on: in order, at least once, and without one repository standing in the way of all others.

An entry is removed after its handlers returned. A process that dies in between leaves it to be handed on again, so
handlers must do no harm by doing something twice. Where the files of one repository refuse (no right to write there,
a file where a folder must be), its entries stay, in their order, and are passed over until the next round. What fails
for everybody, as a full disk or a lost database does, is passed on: all entries wait.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.jobs.outbox import BATCH, OutboxEntry
from entrepot.metadata.query import ABOVE_ALL

#: Does what the entries say, in order; all of them are done when it returns.
Handler = Callable[[Sequence[OutboxEntry]], Awaitable[None]]

#: How a file system says that it is full.
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_LIMITS: Final = {*FULL, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
#: How a file system says that its server or device is out of reach.
_AWAY: Final = {errno.ENOTCONN, errno.ETIMEDOUT, errno.ESTALE, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV}
#: Errors that are no single repository's.
EVERYBODYS: Final = frozenset({None, *_LIMITS, *_AWAY})


@dataclass(slots=True)
class Round:
    """One way through the outbox, from its oldest entry on."""

    database: Database
    handlers: Sequence[Handler]
    aside: dict[str, OSError] = field(default_factory=dict)  #: repositories that are passed over, and why
    _after: int = 0

    async def batch(self, limit: int = BATCH) -> int:
        """Hand on the next entries, and remove those that are done; return how many it looked at: at the end 0.

        Raises:
            OSError: Something that is not one repository's; nothing is lost.
        """
        entries = await outbox.between(self.database, after=self._after, upto=ABOVE_ALL, limit=limit)
        await self._remove(await attempt(self.handlers, entries, self.aside))
        # Only where something stays, which is not to be read again and again; the next round begins at the first. Where
        # nothing does, it is looked from the first one: a number may be given before a lower one is committed.
        if not self.aside:
            self._after = 0
        elif entries:
            self._after = entries[-1].id
        return len(entries)

    async def whole(self) -> int:
        """Hand on all that waits; return how many it looked at."""
        looked = 0
        while found := await self.batch():
            looked += found
        return looked

    async def _remove(self, entries: Sequence[OutboxEntry]) -> None:
        ids = [entry.id for entry in entries]

        async def work(tx: Transaction) -> None:
            await outbox.done(tx, ids)

        if ids:
            await self.database.write(work, name="outbox")


async def attempt(
    handlers: Sequence[Handler], entries: Sequence[OutboxEntry], aside: dict[str, OSError]
) -> list[OutboxEntry]:
    """Handle entries, but for repositories that are aside or must be put there; return those that are done."""
    wanted = [entry for entry in entries if entry.repository not in aside]
    if not wanted:
        return []
    try:
        await _handle(handlers, wanted)
    except OSError as error:
        if error.errno in EVERYBODYS:
            raise
        return await _one_by_one(handlers, wanted, aside)
    return wanted


async def _one_by_one(
    handlers: Sequence[Handler], entries: Sequence[OutboxEntry], aside: dict[str, OSError]
) -> list[OutboxEntry]:
    """Find the repository whose files refuse; what was done of the others already is done once more."""
    done: list[OutboxEntry] = []
    for repository, group in groupby(sorted(entries, key=_repository), key=_repository):
        own = list(group)
        try:
            await _handle(handlers, own)
        except OSError as error:
            if error.errno in EVERYBODYS or not repository:
                raise
            aside[repository] = error
        else:
            done += own
    return done


async def _handle(handlers: Sequence[Handler], entries: Sequence[OutboxEntry]) -> None:
    for handler in handlers:
        await handler(entries)


def _repository(entry: OutboxEntry) -> str:
    return entry.repository or ""
