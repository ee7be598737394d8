"""Upgrades of a PostgreSQL database that several nodes start on: at once, of two versions, killed in the middle."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from entrepot.metadata import schema, tables
from entrepot.metadata.opening_postgres import PostgresOptions, open_postgres, prepare
from entrepot.metadata.query import RawQuery
from tests.migrations.test_schema import _POSTGRES_OBJECTS
from tests.support.databases import connection_to, create_all, postgres_database
from tests.support.postgres import PostgresServer

#: A node that starts, as one of an earlier or of this version.
NODE = """
import asyncio, sys
from entrepot.metadata import schema
from entrepot.metadata.opening_postgres import prepare
schema.VERSION = int(sys.argv[2])
print("starts", flush=True)
asyncio.run(prepare(sys.argv[1]))
print("ready", flush=True)
"""
TOUCHED = RawQuery("SELECT count(*) FROM repositories")


def node(url: str, version: int = schema.VERSION) -> subprocess.Popen[str]:
    """Start one."""
    return subprocess.Popen([sys.executable, "-c", NODE, url, str(version)], stdout=subprocess.PIPE, text=True)


async def test_nodes_of_two_versions_start_at_once(postgres: PostgresServer) -> None:
    """Whoever comes first, all come up, and the schema is the newer one's."""
    with postgres.database() as url:
        nodes = [node(url, version) for version in (schema.VERSION - 1, schema.VERSION, schema.VERSION - 1)]
        for one in nodes:
            output, _ = one.communicate(timeout=120)
            assert output == "starts\nready\n"
        stores = await open_postgres(url, PostgresOptions(connections=2))
        assert await stores.metadata.all(RawQuery("SELECT version FROM schema")) == [(schema.VERSION,)]
        await stores.close()


async def test_a_node_killed_in_its_upgrade_leaves_nothing_half_done(postgres: PostgresServer) -> None:
    """Killed at any moment, the next start completes it, and the schema is whole."""
    with postgres.database() as url:
        for pause in (0.0, 0.15, 0.4):
            with node(url) as killed:
                assert killed.stdout is not None
                assert killed.stdout.readline() == "starts\n"
                time.sleep(pause)
                killed.kill()
        await prepare(url)
        stores = await open_postgres(url, PostgresOptions(connections=2))
        async with postgres_database(postgres) as described:
            await create_all(described, tables.metadata)
            for query in _POSTGRES_OBJECTS:
                assert await stores.metadata.all(query) == await described.all(query)
        await stores.close()


async def test_an_upgrade_waits_for_a_table_without_holding_up_others(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an old transaction reads, pulls go on; the upgrade comes when that has ended."""
    async with postgres_database(postgres) as database:
        with monkeypatch.context() as earlier:
            earlier.setattr(schema, "VERSION", 4)
            await schema.upgrade(database)
        async with connection_to(database) as reading:
            await reading.execute("BEGIN; SELECT count(*) FROM repositories")
            upgrading = asyncio.create_task(schema.upgrade(database))
            began, longest = time.monotonic(), 0.0
            while time.monotonic() - began < 4:
                asked = time.monotonic()
                await database.all(TOUCHED)
                longest = max(longest, time.monotonic() - asked)
                await asyncio.sleep(0.05)
            assert not upgrading.done()
            assert longest < 3.5
            await reading.execute("COMMIT")
        assert (await asyncio.wait_for(upgrading, 60)).version == schema.VERSION
