"""How often something was changed, by any node: processes compare, and forget what they remember of it.

Triggers count on PostgreSQL (`migrations.noted_changes`); on SQLite nothing does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from sqlalchemy import bindparam, select

from entrepot.metadata.database import Reader
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.migrations import noted_changes
from entrepot.metadata.query import Query
from entrepot.metadata.tables import changes

RIGHTS: Final = noted_changes.RIGHTS
#: Between two looks.
SECONDS: Final = 1.0

_NUMBER = Query(select(changes.c.number).where(changes.c.name == bindparam("name")), "changes.number")
_log = logging.getLogger(__name__)


async def number_of(reader: Reader, name: str) -> int:
    """Return how many transactions have changed something so far."""
    row = await reader.one(_NUMBER, name=name)
    return 0 if row is None else int(row[0])


async def watch(reader: Reader, name: str, changed: Callable[[], None], *, seconds: float = SECONDS) -> None:
    """Call `changed` soon after each change, and while nobody can say whether there was one; until cancelled."""
    seen: int | None = None
    while True:
        try:
            number = await number_of(reader, name)
        except DatabaseError:
            _log.debug("cannot see whether %s were changed", name)
            number = None
        if number is None or number != seen:
            changed()
        seen = number
        await asyncio.sleep(seconds)
