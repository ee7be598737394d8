"""Says what the present version of the schema still owes: `python -m tests.migrations.check`, which `make check` runs.

On SQLite alone, for its speed; the tests hold PostgreSQL to the same.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from entrepot.metadata import schema, tables
from entrepot.metadata.database import Database
from entrepot.metadata.dialect import SQLITE
from entrepot.metadata.migrations import script
from entrepot.metadata.query import RawQuery
from tests.migrations.released import VERSIONS
from tests.migrations.shape import Shape, sqlite_shape
from tests.support.databases import create_all, sqlite_database
from tests.support.programs import kept_programs

_TABLES = RawQuery("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")


async def problems() -> list[str]:
    """Say what is missing, each with where it belongs."""
    return [*_missing_files(), *_empty_migration(), *await _differences(), *await _empty_tables()]


def _empty_migration() -> list[str]:
    """A new version that changes nothing was begun and not written."""
    version = schema.VERSION
    changed = [text for text in script.statements(SQLITE, version - 1, version) if not text.startswith("UPDATE schema")]
    before = script.finishing(SQLITE, version - 1)
    return [] if len(changed) > len(before) else [f"migrations/versions/v{version:04}_pre.py changes nothing yet"]


def _missing_files() -> list[str]:
    version = schema.VERSION
    wanted = [f"{number:04}_{half}" for number in range(1, version + 1) for half in ("pre", "post")]
    there = script.versions()
    found = [f"migrations/versions/v{name}.py is missing" for name in wanted if name not in there]
    found += [
        f"migrations/versions/v{name}.py is beyond version {version} of schema.py" for name in there[len(wanted) :]
    ]
    found += [f"released.py has no rows of version {number}" for number in range(1, version) if number not in VERSIONS]
    if version - 1 not in [program.schema for program in kept_programs()]:
        found.append(f"programs/ keeps none of schema {version - 1}: python -m tools.keep_program with its last commit")
    return found


async def _differences() -> list[str]:
    """Compare what the migrations build with what `tables` describes."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            sqlite_database(Path(folder), "a.db") as migrated,
            sqlite_database(Path(folder), "b.db") as described,
        ):
            built = await schema.upgrade(migrated)
            await create_all(described, tables.metadata)
            return [
                *_said(await sqlite_shape(migrated), await sqlite_shape(described)),
                *(
                    []
                    if built.version == schema.VERSION
                    else ["the migrations end with another version than schema.py"]
                ),
            ]


def _said(migrated: Mapping[str, Shape], described: Mapping[str, Shape]) -> list[str]:
    both = sorted(migrated.keys() | described.keys())
    differ = [name for name in both if migrated.get(name) != described.get(name)]
    return [
        f"{name} is not the same in the migrations and in metadata/tables: {_parts(migrated, described, name)}"
        for name in differ
    ]


def _parts(migrated: Mapping[str, Shape], described: Mapping[str, Shape], name: str) -> str:
    """Name the clauses that only one of them has."""
    here, there = (set(one[name][1]) if name in one else set() for one in (migrated, described))
    return "; ".join(sorted(here ^ there))


async def _empty_tables() -> list[str]:
    """Fill a database as a registry of the version before did, and look for tables that got nothing."""
    before = schema.VERSION - 1
    if before not in VERSIONS:
        return []
    with tempfile.TemporaryDirectory() as folder:
        async with sqlite_database(Path(folder)) as database:
            await _build(database, before)
            await VERSIONS[before](database)
            names = [name for (name,) in await database.all(_TABLES)]
            empty = [name for name in names if await database.one(RawQuery(f"SELECT 1 FROM {name} LIMIT 1")) is None]
    return [f"released.py: version_{before} puts nothing into the table {name}" for name in empty]


async def _build(database: Database, version: int) -> None:
    """Make the tables of an earlier version."""
    present, schema.VERSION = schema.VERSION, version  # type: ignore[misc] - as a program of that version has it
    try:
        await schema.upgrade(database)
    finally:
        schema.VERSION = present  # type: ignore[misc] - as above


def main() -> None:
    """Say it, and fail where something is owed."""
    found = asyncio.run(problems())
    if found:
        print(*found, sep="\n")
        sys.exit(f"Schema {schema.VERSION} is half done.")
    print(f"Schema {schema.VERSION} has all that a version owes.")


if __name__ == "__main__":
    main()
