"""What a database is made of, in a form that can be compared."""

from __future__ import annotations

import re

from entrepot.metadata.database import Database, Row
from entrepot.metadata.query import RawQuery

_OBJECTS = RawQuery("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")


#: What kind of thing it is, and its clauses.
Shape = tuple[str, list[str]]


async def sqlite_shape(database: Database) -> dict[str, Shape]:
    """Return the tables, indexes and triggers of a SQLite database by their names."""
    return {name: (kind, clauses) for kind, name, clauses in map(_clauses, await database.all(_OBJECTS))}


def _clauses(row: Row) -> tuple[str, str, list[str]]:
    """Return an object with the clauses of its statement in an order of their own.

    A column that was added to a table stands elsewhere in SQLite's text than one that was always there.
    """
    kind, name, statement = row
    head, _, rest = re.sub(r"\s+", " ", statement).partition("(")
    body, _, tail = rest.rpartition(")")
    return kind, name, sorted([head.strip(), tail.strip(), *_parts(body)])


def _parts(body: str) -> list[str]:
    """Split at the commas outside parentheses."""
    depth, parts = 0, [""]
    for character in body:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
