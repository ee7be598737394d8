"""What is asked costs the same on PostgreSQL among sixty thousand images, or a million, as among ten thousand.

Counted are the pages of tables and indexes that the server looks at, and the plans are those for any values, with the
figures that it keeps of its tables.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from benchmarks import seed
from entrepot.metadata import tables, work_tables
from entrepot.metadata.engine.postgres_connect import Connection
from tests.contracts.test_growth import LARGE, MOST, QUESTIONS, SMALL
from tests.contracts.test_queries import ONE_DATABASE
from tests.contracts.test_queries import SMALL as READS_ALL
from tests.support.databases import connection_to, create_all, postgres_database
from tests.support.postgres import PostgresServer
from tests.support.postgres_plans import CountingReader, copy_from_sqlite, steps_without_key
from tests.support.queries import all_queries

#: Pages more that a higher index takes.
HIGHER = 8
#: Tables with fewer rows are read whole with right.
MANY = 2_000
#: Read whole, or look at an end of an index; those of `test_queries` are not repeated.
WHOLE = {
    "blobs._LAST_ID": "the end of the key",
    "derived_rows._COUNTS": "a check-up; for any range of blobs the server expects a large one",
    "derived_rows._LAST_BLOB": "the end of the key",
    "derived_rows._LAST_TAG": "the end of the key",
    "derived_rows._MISPLACED": "as _COUNTS",
    "derived_rows._UNLINKED": "as _COUNTS",
    "deletion_closure._SUBJECTS": "an index of manifests that have a subject, of which there are none here",
    "kept_sums._ARTIFACTS": "once after an upgrade, by ranges",
    "kept_sums._LAST": "the end of the key",
    "retention_candidates._SUBJECTS": "as deletion_closure._SUBJECTS",
}


def filled(folder: Path, count: int) -> Path:
    """Fill a SQLite file with images."""
    folder.mkdir()
    path = seed.empty(folder)
    seed.insert_images(path, count)
    return path


@pytest.fixture(scope="module", params=LARGE)
def pages_and_plans(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> tuple[dict[str, list[int]], dict[str, list[str]]]:
    """Give the pages that each question takes in a small and a large registry, and the plans in the large one."""
    paths = [filled(tmp_path_factory.mktemp("images") / str(count), count) for count in (SMALL, request.param)]
    return asyncio.run(_looked_at(postgres, paths))


async def _looked_at(postgres: PostgresServer, paths: list[Path]) -> tuple[dict[str, list[int]], dict[str, list[str]]]:
    pages: dict[str, list[int]] = {name: [] for name in QUESTIONS}
    plans: dict[str, list[str]] = {}
    for path in paths:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(postgres_database(postgres))
            connection = await stack.enter_async_context(connection_to(database))
            await create_all(database, tables.metadata)
            await create_all(database, work_tables.work_metadata)
            await copy_from_sqlite(connection, path, tables.metadata)
            for name, question in QUESTIONS.items():
                reader = CountingReader(connection)
                assert await question(reader), name
                pages[name].append(reader.pages)
            if path == paths[-1]:
                large = await _large_tables(connection)
                await connection.execute("SET plan_cache_mode = force_generic_plan")
                for name, query in all_queries().items():
                    if name not in ONE_DATABASE:
                        steps = await steps_without_key(connection, query)
                        plans[name] = [step for step in steps if step.split()[-1] in large]
    return pages, plans


async def _large_tables(connection: Connection) -> set[str]:
    rows = await connection.fetch(f"SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > {MANY}")
    return {row[0] for row in rows}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_looks_at_what_it_shows(
    pages_and_plans: tuple[dict[str, list[int]], dict[str, list[str]]], name: str
) -> None:
    """Many times as many images, and no more than half as many pages again."""
    small, large = pages_and_plans[0][name]
    assert large <= MOST * small + HIGHER


def test_no_statement_reads_a_large_table(pages_and_plans: tuple[dict[str, list[int]], dict[str, list[str]]]) -> None:
    """PostgreSQL finds the rows of every statement by key, except where reading all is meant."""
    plans = pages_and_plans[1]
    assert len(plans) > 500
    assert {name: steps for name, steps in plans.items() if steps and name not in {*WHOLE, *READS_ALL}} == {}
