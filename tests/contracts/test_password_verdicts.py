"""All workers of one `serve` hash a password once between them, on SQLite and on PostgreSQL."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.guarded_passwords import GuardedPasswords, StoredPassword
from entrepot.access.passwords.password_cache import SharedVerdicts, Verdict
from entrepot.access.passwords.throttle import Throttle
from entrepot.metadata.clock import MICROSECONDS
from entrepot.metadata.database import Database
from entrepot.metadata.people import password_cache
from entrepot.metadata.people.password_cache import VerdictRecord
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import password_verdicts, work_metadata
from tests.support.databases import create_all

HERE = "192.0.2.7"
RIGHT = Basic("alice", "correct horse")
WRONG = Basic("alice", "battery staple")
ALICE = Principal(kind=PrincipalKind.USER, name="alice", id=1)


class Clock:
    """The time of a test, in seconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def microseconds(self) -> int:
        """Give it as the database counts."""
        return int(self.now * MICROSECONDS)


class Accounts:
    """One account, and how often its password was hashed by all workers, and by how many at once."""

    def __init__(self) -> None:
        self.password = RIGHT.password
        self.hashes = 0
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    async def find(self, name: str, *, fresh: bool = False) -> StoredPassword | None:
        return StoredPassword(ALICE, f"hash of {self.password}") if name == "alice" else None

    def matches(self, encoded: str | None, password: str) -> bool:
        with self._lock:
            self.hashes += 1
            self.running += 1
            self.most = max(self.most, self.running)
        threading.Event().wait(0.01)
        with self._lock:
            self.running -= 1
        return encoded == f"hash of {password}"


class Node:
    """Workers that share a folder and a database, as those of one `serve` do."""

    def __init__(self, work: Database, folder: Path) -> None:
        self.clock = Clock()
        self.accounts = Accounts()
        self.work, self.folder = work, folder
        self.workers = [self._worker(work) for _ in range(3)]

    def _worker(self, work: Database) -> GuardedPasswords:
        verdicts = SharedVerdicts(work, self.folder, now=self.clock.microseconds)
        throttle = Throttle(clock=self.clock)
        return GuardedPasswords(self.accounts, throttle, verdicts=verdicts, clock=self.clock)

    async def everywhere(self, basic: Basic, times: int = 5) -> set[object]:
        """Sign in at all workers at once; give what came of it."""
        tries = [worker.verify(basic, HERE) for worker in self.workers for _ in range(times)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        return {type(outcome) for outcome in outcomes}


@pytest.fixture
async def node(database: Database, tmp_path: Path) -> Node:
    """Give three workers."""
    await create_all(database, work_metadata)
    return Node(database, tmp_path)


async def test_a_credential_is_hashed_once_a_minute_by_all_workers_together(node: Node) -> None:
    """At the same instant or one after the other; after the minute, once more."""
    assert await node.everywhere(RIGHT) == {Principal}
    assert await node.everywhere(RIGHT) == {Principal}
    assert node.accounts.hashes == 1
    node.clock.now += 59
    await node.everywhere(RIGHT)
    assert node.accounts.hashes == 1
    node.clock.now += 2
    await node.everywhere(RIGHT)
    assert node.accounts.hashes == 2


async def test_what_another_worker_found_counts_no_longer_than_there(node: Node) -> None:
    """A worker that learns of it at the end of the minute asks anew when the minute is over."""
    await node.workers[0].verify(RIGHT, HERE)
    node.clock.now += 59
    await node.workers[1].verify(RIGHT, HERE)
    assert node.accounts.hashes == 1
    node.clock.now += 2
    await node.workers[1].verify(RIGHT, HERE)
    assert node.accounts.hashes == 2


async def test_a_wrong_password_is_hashed_once_too(node: Node) -> None:
    """And counts as one guess, so that the right one is let in at every worker."""
    assert await node.everywhere(WRONG) == {CredentialsRefused}
    assert await node.everywhere(WRONG) == {CredentialsRefused}
    assert node.accounts.hashes == 1
    assert await node.everywhere(RIGHT) == {Principal}


async def test_a_changed_password_ends_what_all_of_them_know(node: Node) -> None:
    """What was right is wrong at every worker, and what was wrong is right, from that moment on."""
    await node.everywhere(RIGHT)
    await node.everywhere(WRONG)
    node.accounts.password = WRONG.password
    assert await node.everywhere(RIGHT) == {CredentialsRefused}
    assert await node.everywhere(WRONG) == {Principal}


async def test_workers_take_turns(node: Node) -> None:
    """However many different passwords come to all of them, one hash runs at a time."""
    tries = [worker.verify(Basic(f"user{n}", "x"), f"198.51.{n}.1") for worker in node.workers for n in range(5)]
    await asyncio.gather(*tries, return_exceptions=True)
    assert (node.accounts.hashes, node.accounts.most) == (5, 1)


async def test_whoever_gives_up_waiting_keeps_nobody_waiting(node: Node) -> None:
    """A request that ends while it waits for its turn gives the turn back, whoever has it."""
    first, second = (SharedVerdicts(node.work, node.folder) for _ in range(2))
    async with first.turn():
        waiting = asyncio.ensure_future(second.turn().__aenter__())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5), first.turn():
        pass


async def test_the_database_tells_nothing_and_holds_no_old_rows(node: Node) -> None:
    """Neither name nor password nor hash are in it; another `serve` cannot use it; what no longer counts goes."""
    await node.workers[0].verify(RIGHT, HERE)
    (row,) = await rows(node.work)
    assert not any(word in str(row) for word in ("alice", "horse", "hash"))
    other = node.folder / "other"
    other.mkdir()
    assert SharedVerdicts(node.work, other).mark(RIGHT) != row[0]
    assert (node.folder / "password-key").stat().st_mode & 0o077 == 0
    node.clock.now += 61
    with pytest.raises(CredentialsRefused):
        await node.workers[0].verify(WRONG, HERE)
    assert [found[0] for found in await rows(node.work)] != [row[0]]


async def test_without_the_database_each_worker_hashes_for_itself(node: Node) -> None:
    """Nobody is locked out, and nobody is let in."""
    verdicts = SharedVerdicts(node.work, node.folder)
    await node.work.close()
    assert await verdicts.find("mark") is None
    await verdicts.keep("mark", Verdict(right=True, state="", seconds=60))
    assert await node.everywhere(RIGHT) == {Principal}
    assert node.accounts.hashes == 3


async def test_rows(database: Database) -> None:
    """A row is found until it ends, and a newer one takes its place."""
    await create_all(database, work_metadata)
    await put(database, VerdictRecord(right=True, state="s", expires_at=10), now=1)
    assert await password_cache.find(database, "m", now=9) == VerdictRecord(right=True, state="s", expires_at=10)
    assert await password_cache.find(database, "m", now=10) is None
    await put(database, VerdictRecord(right=False, state="", expires_at=30), now=2)
    assert await password_cache.find(database, "m", now=9) == VerdictRecord(right=False, state="", expires_at=30)


async def put(database: Database, record: VerdictRecord, *, now: int) -> None:
    """Keep one."""
    await database.write(lambda tx: password_cache.put(tx, "m", record, now=now))


async def rows(work: Database) -> list[tuple[object, ...]]:
    """Read the whole table."""
    return [
        tuple(row) for row in await work.all(Query(select(password_verdicts.c.mark, password_verdicts.c.state), "test"))
    ]
