"""A PostgreSQL primary that is killed under writers: nothing acknowledged is lost, nothing is written twice, no 500."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import pytest
from sqlalchemy import MetaData, bindparam, select

from entrepot.metadata.columns import NAMES, numbered, words
from entrepot.metadata.database import Transaction
from entrepot.metadata.engine.postgres import OutcomeUnknown, PostgresDatabase
from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.metadata.query import Query
from tests.support.databases import create_all
from tests.support.patroni import Cluster, Node, patroni

WRITERS: Final = 16
SCHEMA: Final = MetaData(naming_convention=NAMES)
#: Takes a word twice, so that a transaction that was run twice is seen.
LEDGER: Final = numbered("ledger", SCHEMA, words("word"))
ADD: Final = Query(lambda d: d.insert(LEDGER).values(word=bindparam("word")), "add to the ledger")
_RUN: Final = "SELECT concat(pg_postmaster_start_time(), pg_walfile_name(pg_current_wal_lsn())::text::char(8))"
WORDS: Final = Query(select(LEDGER.c.word), "read the ledger")


@dataclass(slots=True)
class Account:
    """What writers were told."""

    kept: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    last_kept: float = 0.0  #: by the monotonic clock
    done: bool = False


async def writer(database: PostgresDatabase, number: int, account: Account) -> None:
    """Write one word after the other until told to stop, whatever comes."""
    step = 0
    while not account.done:
        step += 1
        word = f"{number}-{step}"
        try:
            await database.write(lambda tx, word=word: _add(tx, word))
        except OutcomeUnknown:
            account.unknown.add(word)
        except DatabaseUnavailable as refused:
            account.refused[type(refused).__name__] += 1
        else:
            account.kept.add(word)
            account.last_kept = time.monotonic()


async def _add(tx: Transaction, word: str) -> None:
    await tx.execute(ADD, word=word)


async def primary_again(cluster: Cluster, before: set[str]) -> float:
    """Wait until a server takes writes that did not before, or one that did was started again; return when it did."""
    async with asyncio.timeout(90):
        while True:
            for node in cluster.nodes:
                if await _run_of(node) not in {"", *before}:
                    return time.monotonic()
            await asyncio.sleep(0.02)


async def _run_of(node: Node) -> str:
    """Name the run of a server that takes writes; nothing for another."""
    try:
        connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{node.port}/postgres", timeout=2)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return ""
    try:
        return str(await connection.fetchval(_RUN))
    except asyncpg.PostgresError:
        return ""
    finally:
        connection.terminate()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.full)])
async def test_a_killed_primary_loses_nothing_acknowledged(kills: int) -> None:
    """Sixteen writers go on over crashes and failovers; writes are back five seconds after there is a primary."""
    with patroni() as cluster:
        database = await PostgresDatabase.open(cluster.url(), connections=WRITERS)
        account, waits = Account(), list[float]()
        try:
            await create_all(database, SCHEMA)
            writing = [asyncio.create_task(writer(database, number, account)) for number in range(WRITERS)]
            for kill in range(kills):
                await asyncio.sleep(0.5)
                before = {await _run_of(node) for node in cluster.nodes}
                is_crash = kill % 2 == 1
                harm = cluster.crash_primary if is_crash else cluster.kill_host_of_primary
                harmed = await asyncio.to_thread(harm)
                at = await primary_again(cluster, before)
                async with asyncio.timeout(30):
                    while account.last_kept < at:
                        await asyncio.sleep(0.01)
                waits.append(account.last_kept - at)
                if not is_crash:
                    cluster.start_again(harmed)
                if kill + 1 < kills:
                    await asyncio.to_thread(cluster.wait_until_whole)
            account.done = True
            await asyncio.gather(*writing)
            rows = Counter(row[0] for row in await database.all(WORDS))
        finally:
            account.done = True
            await database.close()
        print(
            f"kept {len(account.kept)}, unknown {len(account.unknown)}, refused {dict(account.refused)}, back {waits}"
        )
        assert not account.kept - rows.keys()
        assert not {word for word, count in rows.items() if count > 1}
        assert not rows.keys() - account.kept - account.unknown
        assert max(waits) <= 5
