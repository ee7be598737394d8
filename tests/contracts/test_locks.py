"""The locks of all processes of a registry: of files in a folder, and of PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from entrepot.metadata.engine import postgres_locks
from entrepot.metadata.engine.postgres_locks import PostgresLocks
from entrepot.metadata.errors import LockLost
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.locks import COLLECTION, PROJECTION, Locks
from tests.support.chaos import Rules, chaos
from tests.support.database_fixtures import postgres
from tests.support.postgres import PostgresServer

__all__ = ["postgres"]

#: A process that has the turn to collect and says so.
HOLDER = """
import asyncio, pathlib, sys
from entrepot.metadata.engine.postgres_locks import PostgresLocks
from entrepot.registry.file_locks import FileLocks
async def main():
    where = sys.argv[1]
    locks = PostgresLocks(where) if where.startswith("postgresql") else FileLocks(pathlib.Path(where))
    async with locks.turn("collection.lock"):
        print("mine", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture(params=["files", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Say where the locks are."""
    return str(tmp_path) if request.param == "files" else request.getfixturevalue("postgres").url()


@pytest.fixture
async def process(where: str) -> AsyncIterator[Callable[[], Locks]]:
    """Give what makes the locks of another process."""
    made: list[PostgresLocks] = []

    def make() -> Locks:
        if not where.startswith("postgresql"):
            return FileLocks(Path(where))
        made.append(PostgresLocks(where))
        return made[-1]

    yield make
    for locks in made:
        await locks.close()


async def test_one_at_a_time(process: Callable[[], Locks]) -> None:
    """The second waits for the end of the first, in the same process as in another; another kind is another's."""
    first, order = process(), []

    async def follow(locks: Locks, name: str) -> None:
        async with locks.turn(COLLECTION):
            order.append(name)
            await asyncio.sleep(0.05)
            order.append(name)

    async with first.turn(COLLECTION), first.turn(PROJECTION):
        waiting = [asyncio.create_task(follow(locks, name)) for locks, name in ((first, "a"), (process(), "b"))]
        await asyncio.sleep(0.3)
        assert order == []
    await asyncio.gather(*waiting)
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


async def test_patience_ends(process: Callable[[], Locks]) -> None:
    """It says who may be in the way, and what else this process holds stays its own."""
    first, second = process(), process()
    async with first.turn(COLLECTION), second.turn(PROJECTION):
        for locks in (first, second):
            with pytest.raises(TimeoutError, match=r"another process has held collection\.lock"):
                async with locks.turn(COLLECTION, patience=0.3):
                    pass
        with pytest.raises(TimeoutError):
            async with first.turn(PROJECTION, patience=0.1):
                pass
    async with second.turn(COLLECTION, patience=5):
        pass


async def test_a_claim_waits_for_nobody(process: Callable[[], Locks]) -> None:
    """Somebody else's claim is seen at once, also within a process; afterwards it is free, and others always are."""
    first, second = process(), process()
    async with first.claim("team/app") as ours:
        assert ours
        for locks in (first, second):
            async with locks.claim("team/app") as theirs:
                assert not theirs
        async with second.claim("team/other app") as other:
            assert other
    async with second.claim("team/app") as free:
        assert free
    await first.drop_claims()


async def test_a_failure_gives_it_back(process: Callable[[], Locks]) -> None:
    """What was raised comes out, and the next may begin."""
    first, second = process(), process()
    with pytest.raises(KeyError):
        async with first.turn(COLLECTION):
            raise KeyError
    async with second.turn(COLLECTION, patience=5):
        pass


async def test_who_stops_waiting_takes_nothing(process: Callable[[], Locks]) -> None:
    """A caller that is cancelled while it asks leaves the lock to others, and its process keeps what it has."""
    first, second = process(), process()
    async with first.turn(PROJECTION):
        for pause in (0, 0.001, 0.003, 0.01):
            asking = asyncio.create_task(_hold(first))
            await asyncio.sleep(pause)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            async with second.turn(COLLECTION, patience=5):
                pass


async def _hold(locks: Locks) -> None:
    async with locks.turn(COLLECTION):
        await asyncio.sleep(60)


async def test_the_dead_give_it_back(where: str, process: Callable[[], Locks]) -> None:
    """A process that was killed in its turn holds up nobody; one that only stands still does."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, where], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        other.send_signal(19)  # SIGSTOP
        locks = process()
        with pytest.raises(TimeoutError):
            async with locks.turn(COLLECTION, patience=0.3):
                pass
        other.kill()
        async with locks.turn(COLLECTION, patience=10):
            pass


async def test_who_loses_the_connection_stops_before_another_begins(postgres: PostgresServer) -> None:
    """A cut ends what is done under the lock, wherever it waits; the lock is another's, and later one's own again."""
    with chaos(postgres.port) as relay:
        mine = PostgresLocks(postgres.url().replace(str(postgres.port), str(relay.port)))
        theirs = PostgresLocks(postgres.url())
        deleted: list[str] = []

        async def collect() -> None:
            async with mine.turn(COLLECTION), mine.turn(PROJECTION):
                relay.cut_all()
                await asyncio.sleep(30)
                deleted.append("something")

        with pytest.raises(LockLost, match=r"collection\.lock|projection\.lock"):
            await asyncio.wait_for(collect(), 10)
        async with theirs.turn(COLLECTION, patience=10):
            assert deleted == []
        async with mine.turn(COLLECTION, patience=10):
            pass
        await mine.close()
        await theirs.close()


async def test_a_server_that_falls_silent_ends_the_turn(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection through which nothing comes any more is given up soon, before the server gives the lock away."""
    monkeypatch.setattr(postgres_locks, "_PULSE_SECONDS", 0.2)
    monkeypatch.setattr(postgres_locks, "_ANSWER_SECONDS", 0.5)
    with chaos(postgres.port) as relay:
        locks = PostgresLocks(postgres.url().replace(str(postgres.port), str(relay.port)))
        began = asyncio.get_running_loop().time()

        async def collect() -> None:
            async with locks.turn(COLLECTION):
                relay.rules = Rules(silent=True)
                await asyncio.sleep(30)

        with pytest.raises(LockLost):
            await collect()
        assert asyncio.get_running_loop().time() - began < 5
        relay.rules = Rules()
        await locks.close()


async def test_nothing_connects_before_a_lock_is_asked_for() -> None:
    """Most processes of a registry never take one."""
    locks = PostgresLocks("postgresql://nobody@127.0.0.1:1/none")
    await locks.drop_claims()
    await locks.close()
