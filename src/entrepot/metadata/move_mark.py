"""What keeps programs off a database that was left by a move, or is still being filled by one."""

from __future__ import annotations

from typing import Final

from entrepot.metadata.database import Database, Reader
from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.query import RawQuery

#: The row that a database has which was left, with where to; and the one of a database that is being filled.
LEFT: Final = "left"
ARRIVING: Final = "arriving"

_IS_THERE: Final = {
    "sqlite": RawQuery("SELECT 1 FROM sqlite_schema WHERE name = 'move_state'", "is there a move, on SQLite"),
    "postgresql": RawQuery(
        "SELECT 1 FROM information_schema.tables WHERE table_name = 'move_state' AND table_schema = current_schema()",
        "is there a move",
    ),
}
_STATE: Final = RawQuery("SELECT name, value FROM move_state", "how far is a move")


class DatabaseMoved(DatabaseError):
    """The database was left by a move, or is being filled by one."""


async def state_of(reader: Reader, dialect: str) -> dict[str, str]:
    """Return what a database says of a move."""
    if await reader.one(_IS_THERE[dialect]) is None:
        return {}
    return {row[0]: row[1] for row in await reader.all(_STATE)}


async def require_usable(database: Database) -> None:
    """Check that a database is neither left nor being filled.

    Raises:
        DatabaseMoved: It is; the message says what to do.
    """
    state = await state_of(database, database.dialect)
    if LEFT in state:
        raise DatabaseMoved(
            f"this registry has moved to {state[LEFT]}: name that as metadata.url (or its folder). To use this database"
            " again as it was then, without what has been written there since: entrepot db move --give-up"
        )
    if ARRIVING in state:
        raise DatabaseMoved(
            "a move into this database, or the restoration of a backup, has not come to its end: run the same command"
            " again, or make the database anew"
        )
