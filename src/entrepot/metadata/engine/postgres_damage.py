"""What PostgreSQL itself finds wrong with a database: pages that failed their checksums, indexes that miss rows.

Indexes are looked at where its extension `amcheck` is installed in the database and the registry's user may call it.
"""

from __future__ import annotations

import random
from typing import Final

from sqlalchemy import Text, bindparam, cast, func, literal_column, select, true

from entrepot.metadata.database import Database
from entrepot.metadata.errors import DatabaseError, DatabaseUnavailable
from entrepot.metadata.query import Query, RawQuery
from entrepot.telemetry.progress import Progress

_MOST: Final = 100
_FAILURES: Final = RawQuery(
    "SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()",
    "postgres_damage.failures",
)
_CAN_LOOK: Final = RawQuery(
    "SELECT p.oid FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid "
    "JOIN pg_extension AS e ON e.oid = d.refobjid WHERE e.extname = 'amcheck' AND p.proname = 'bt_index_check' "
    "AND pg_function_is_visible(p.oid) AND has_function_privilege(p.oid, 'EXECUTE')",
    "postgres_damage.can_look",
)
_INDEXES: Final = RawQuery(
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "JOIN pg_am AS a ON a.oid = c.relam JOIN pg_index AS i ON i.indexrelid = c.oid "
    "WHERE a.amname = 'btree' AND i.indisvalid AND n.nspname IN (current_schema(), 'work') ORDER BY 1",
    "postgres_damage.indexes",
)
_LOOK: Final = Query(
    lambda _: select(
        literal_column("1"), func.bt_index_check(func.to_regclass(cast(bindparam("index"), Text)), true())
    ),
    "postgres_damage.look",
)


async def find_damage(database: Database, progress: Progress, *, sample: float = 1.0) -> list[str]:
    """Ask the server what is wrong; `sample` is the share of indexes that are looked at.

    Raises:
        DatabaseUnavailable: Nobody answers.
        Stopped: Somebody asked for an end.
    """
    found = []
    failures = await database.one(_FAILURES)
    if failures is not None and failures[0]:
        found.append(f"{failures[0]} pages failed their checksums (pg_stat_database)")
    if not await database.all(_CAN_LOOK):
        return found
    indexes = [name for (name,) in await database.all(_INDEXES)]
    for number, name in enumerate(indexes):
        await progress.step(number, len(indexes))
        if len(found) < _MOST and random.random() < sample:  # noqa: S311 - a sample, no secret
            found += await _look_at(database, name)
    return found


async def _look_at(database: Database, name: str) -> list[str]:
    try:
        await database.one(_LOOK, index=name)
    except DatabaseUnavailable:
        return []  # larger than a command waits for, or looked at by nobody now
    except DatabaseError as error:
        return [f"the index {name}: {error}; mend it with REINDEX INDEX {name}"]
    return []
