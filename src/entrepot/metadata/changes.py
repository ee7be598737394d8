"""How often something was changed, by any node: processes compare, and read anew what they remember of it.

Triggers count on PostgreSQL (`migrations.noted_changes`); on SQLite nothing does, and nobody looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import select

from entrepot.metadata.database import Reader
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.migrations import noted_changes
from entrepot.metadata.query import Query
from entrepot.metadata.tables import changes

RIGHTS: Final = noted_changes.RIGHTS
READ_ONLY: Final = noted_changes.READ_ONLY
JOBS: Final = noted_changes.JOBS
#: Between two looks.
SECONDS: Final = 1.0

_NUMBERS = Query(select(changes.c.name, changes.c.number), "changes.numbers")
_log = logging.getLogger(__name__)

#: Reads something anew.
Follower = Callable[[], Awaitable[None]]


async def numbers(reader: Reader) -> dict[str, int]:
    """Return by its name how many transactions have changed something so far."""
    return dict(await reader.all(_NUMBERS))


class Changes:
    """Looks once a second, with one question for all that a process remembers."""

    def __init__(self, database: Reader, *, seconds: float = SECONDS) -> None:
        self._database = database
        self._seconds = seconds
        self._followers: dict[str, Follower] = {}

    def follow(self, name: str, changed: Follower) -> None:
        """Have `changed` called soon after each change, and once when nobody can say whether there was one."""
        self._followers[name] = changed

    async def run(self) -> None:
        """Look until cancelled."""
        seen: dict[str, int] = {}
        while True:
            try:
                found = await numbers(self._database)
            except DatabaseError:
                _log.debug("cannot see what other nodes have changed")
                found = {}
            for name, changed in self._followers.items():
                if name not in seen or found.get(name) != seen[name]:
                    await self._call(changed)
            seen = found
            await asyncio.sleep(self._seconds)

    async def _call(self, changed: Follower) -> None:
        try:
            await changed()
        except DatabaseError:
            _log.debug("cannot read what another node has changed")
