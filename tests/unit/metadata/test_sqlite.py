"""What only the SQLite executor promises: durability, shared commits, other processes, waiting with an end."""

import asyncio
import fcntl
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import pytest

from entrepot.metadata.database import Transaction
from entrepot.metadata.engine import sqlite as sqlite_module
from entrepot.metadata.engine import sqlite_connection, sqlite_writer
from entrepot.metadata.engine.ballast import Ballast, Reserve, with_reserve
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.engine.sqlite_connection import Durability
from entrepot.metadata.errors import DatabaseError, DatabaseFull, DatabaseUnavailable
from entrepot.metadata.query import RawQuery
from tests.support.notes import COUNT, GET, KEYS, PUT, dropping, putting


async def pragma(database: SqliteDatabase, name: str) -> object:
    """Ask the writer's own connection for a pragma."""
    row = await database.write(lambda transaction: transaction.one(RawQuery(f"PRAGMA {name}")))
    assert row is not None
    return row[0]


@pytest.mark.parametrize(("durability", "level"), [(Durability.FULL, 2), (Durability.NORMAL, 1)])
async def test_the_writer_syncs_as_asked(tmp_path: Path, durability: Durability, level: int) -> None:
    """The writer's connection has a write-ahead log, the wanted syncing, foreign keys and a limited log."""
    database = SqliteDatabase(tmp_path / "test.db", durability)
    try:
        assert await pragma(database, "journal_mode") == "wal"
        assert await pragma(database, "synchronous") == level
        assert await pragma(database, "foreign_keys") == 1
        assert await pragma(database, "wal_autocheckpoint") == sqlite_connection.CHECKPOINT_PAGES
        assert await pragma(database, "journal_size_limit") == sqlite_connection.WAL_LIMIT_BYTES
        assert await pragma(database, "busy_timeout") == sqlite_connection.PATIENCE_MS
        assert await pragma(database, "temp_store") == 2  # MEMORY
    finally:
        await database.close()


async def test_full_is_what_one_gets_without_asking(database: SqliteDatabase) -> None:
    """A database that nobody said otherwise of is durable."""
    assert await pragma(database, "synchronous") == 2


async def test_the_reader_cannot_write(database: SqliteDatabase) -> None:
    """The connection on the event loop is read-only and in no transaction."""
    assert await database.one(RawQuery("PRAGMA query_only")) == (1,)
    with pytest.raises(DatabaseError):
        await database.one(RawQuery("DELETE FROM settings"))
    await database.all(KEYS)
    assert database._reading.in_transaction is False


async def test_reads_and_writes_of_the_loop_do_not_suspend(database: SqliteDatabase) -> None:
    """A read ends in one step of its coroutine: it costs no turn of the event loop."""
    await database.write(putting("a", "1"))
    with pytest.raises(StopIteration) as ended:
        database.one(GET, key="a").send(None)
    assert ended.value.value == ("1",)


async def test_queued_writes_share_a_commit(database: SqliteDatabase) -> None:
    """Many writes that wait together need few commits, and each is answered only when it is committed."""
    other = sqlite3.connect(database.path)
    before = database.statistics

    async def put(number: int) -> bool:
        await database.write(putting(f"note-{number}"))
        return other.execute("SELECT 1 FROM settings WHERE key = ?", [f"note-{number}"]).fetchone() is not None

    assert all(await asyncio.gather(*(put(number) for number in range(500))))
    other.close()
    after = database.statistics
    assert after.transactions - before.transactions == 500
    assert after.commits - before.commits <= 500 / sqlite_writer.GROUP_SIZE + 5


async def test_a_commit_takes_a_limited_number_of_writes(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full queue is cut into commits, so that other processes get their turn."""
    monkeypatch.setattr(sqlite_writer, "GROUP_SIZE", 10)
    before = database.statistics.commits
    await asyncio.gather(*(database.write(putting(f"note-{number}")) for number in range(100)))
    assert database.statistics.commits - before >= 10


async def test_a_commit_takes_writes_for_a_limited_time(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow transactions do not pile up in one commit."""
    monkeypatch.setattr(sqlite_writer, "GROUP_SECONDS", 0.0)
    before = database.statistics.commits
    await asyncio.gather(*(database.write(putting(f"note-{number}")) for number in range(10)))
    assert database.statistics.commits - before == 10


async def test_a_failed_commit_fails_every_write_of_it(database: SqliteDatabase) -> None:
    """When the commit finds no space, all that shared it are told so, nothing stays, and the next write works."""
    await database.write(lambda transaction: transaction.one(RawQuery("PRAGMA max_page_count = 120")))
    results = await asyncio.gather(
        *(database.write(putting(f"note-{number}", "x" * 20_000)) for number in range(60)), return_exceptions=True
    )
    assert {type(result) for result in results} <= {int, DatabaseFull}
    failed = sum(isinstance(result, DatabaseFull) for result in results)
    assert failed
    assert await database.one(COUNT) == (60 - failed,)
    await database.write(lambda transaction: transaction.one(RawQuery("PRAGMA max_page_count = 100000")))
    await database.write(putting("after", "x" * 20_000))


async def test_a_cancelled_write_on_a_full_disk_leaves_the_writer_alive(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that finds no space before it begins, and whose only caller has given up, ends no thread."""
    given_up = threading.Event()

    def find_no_space() -> None:
        given_up.wait(5)
        raise DatabaseFull("no space")

    with monkeypatch.context() as patch:
        patch.setattr(database._writer, "_ballast", Ballast(database.path.parent))
        patch.setattr(database._writer, "_before_group", find_no_space)
        task = asyncio.create_task(database.write(putting("given up")))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        given_up.set()
        with pytest.raises(DatabaseFull):
            await asyncio.wait_for(database.write(putting("refused")), 5)
    await asyncio.wait_for(database.write(putting("kept")), 5)
    assert await database.all(KEYS) == [("kept",)]


async def test_an_error_of_the_writer_itself_fails_its_commit_and_no_more(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong while a failed commit is taken back, its callers are told and the next write works."""

    def break_down(*_: object) -> None:
        raise ValueError("nobody thought of this")

    with monkeypatch.context() as patch:
        patch.setattr(database._writer, "_before_group", break_down)
        patch.setattr(database._writer, "_fail", break_down)
        with pytest.raises(DatabaseUnavailable, match="nobody thought of this"):
            await asyncio.wait_for(database.write(putting("failed")), 5)
    assert len([record for record in caplog.records if record.exc_info]) == 1
    await asyncio.wait_for(database.write(putting("kept")), 5)
    assert await database.all(KEYS) == [("kept",)]


async def test_what_frees_space_does_not_fail_with_a_push_that_found_none(database: SqliteDatabase) -> None:
    """A delete in the commit of a push that did not fit is made once more, and the others alone are refused."""
    await database.write(putting("old", "x" * 100_000))
    await database.write(lambda transaction: transaction.one(RawQuery("PRAGMA max_page_count = 150")))
    lock = os.open(database.path.with_name(f"{database.path.name}.lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    writes = [asyncio.create_task(database.write(putting("small")))]
    with with_reserve(Reserve.RELEASED):
        writes.append(asyncio.create_task(database.write(dropping("old"))))
    writes.append(asyncio.create_task(database.write(putting("large", "x" * 1_000_000))))
    await asyncio.sleep(0.05)
    os.close(lock)
    small, deleted, large = await asyncio.gather(*writes, return_exceptions=True)
    assert deleted == 1
    assert {type(small), type(large)} == {DatabaseFull}
    assert await database.all(KEYS) == []


async def test_the_error_of_a_full_disk_says_where(database: SqliteDatabase) -> None:
    """The message names the folder in which to make space."""
    await database.write(lambda transaction: transaction.one(RawQuery("PRAGMA max_page_count = 1")))
    with pytest.raises(DatabaseFull, match=str(database.path.parent)):
        await database.write(putting("a", "x" * 1_000_000))


async def test_commits_of_other_processes_are_seen_at_once(database: SqliteDatabase) -> None:
    """A read sees what another process has committed a moment ago, every time."""
    script = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "for line in sys.stdin:\n"
        "    with connection: connection.execute('INSERT INTO settings VALUES (?, ?)', [line.strip(), 'x'])\n"
        "    print('done', flush=True)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(database.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        for number in range(200):
            other.stdin.write(f"note-{number}\n")
            other.stdin.flush()
            assert other.stdout.readline() == "done\n"
            assert await database.one(GET, key=f"note-{number}") == ("x",)
        other.stdin.close()


async def test_waiting_for_the_lock_has_an_end(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that cannot begin is given up with a message, and is then not made later either."""
    monkeypatch.setattr(sqlite_module, "QUEUE_SECONDS", 0.2)
    lock = os.open(database.path.with_name(f"{database.path.name}.lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # The first one is taken by the writer, which stands before the lock; the second waits in the queue.
    results = await asyncio.gather(
        database.write(putting("first")), database.write(putting("second")), return_exceptions=True
    )
    os.close(lock)
    assert all(isinstance(result, DatabaseUnavailable) for result in results), results
    await database.write(putting("third"))
    assert await database.all(KEYS) == [("third",)]


async def test_a_cancelled_write_in_the_queue_is_not_made(database: SqliteDatabase) -> None:
    """Who gives up before the transaction has begun has written nothing."""
    lock = os.open(database.path.with_name(f"{database.path.name}.lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    task = asyncio.create_task(database.write(putting("cancelled")))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    os.close(lock)
    await database.write(putting("kept"))
    assert await database.all(KEYS) == [("kept",)]


async def test_the_event_loop_goes_on_while_a_write_waits(database: SqliteDatabase) -> None:
    """Reads are answered while a write stands before the lock."""
    lock = os.open(database.path.with_name(f"{database.path.name}.lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    task = asyncio.create_task(database.write(putting("a")))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    assert await database.one(COUNT) == (0,)
    assert time.monotonic() - started < 0.5
    os.close(lock)
    await task


async def test_a_transaction_sees_its_caller_s_context(database: SqliteDatabase) -> None:
    """Context variables (a request's id in the log) reach the writer thread."""
    request: ContextVar[str] = ContextVar("request")
    request.set("r-1")

    async def work(transaction: Transaction) -> str:
        return request.get()

    assert await database.write(work) == "r-1"


async def test_a_slow_transaction_is_told(database: SqliteDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """A transaction that holds the lock for too long is named in the log."""

    async def work(transaction: Transaction) -> None:
        time.sleep(sqlite_writer.SLOW_SECONDS * 1.5)

    with caplog.at_level(
        logging.WARNING, logger=sqlite_writer.__name__
    ):  # a command of another test may have hushed it
        await database.write(work, name="dawdle")
    assert "dawdle" in caplog.text


async def test_an_odd_end_of_a_work_does_not_stop_the_writer(database: SqliteDatabase) -> None:
    """Even a KeyboardInterrupt inside a transaction reaches only its caller."""

    async def work(transaction: Transaction) -> None:
        raise KeyboardInterrupt

    task = asyncio.gather(database.write(putting("a")), database.write(putting("b")))
    with pytest.raises(KeyboardInterrupt):
        await database.write(work)
    assert await task == [1, 1]
    await database.write(putting("c"))


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """The message names the file and says what to do."""
    (tmp_path / "test.db").write_bytes(b"these are not the pages you look for" * 200)
    with pytest.raises(DatabaseUnavailable, match=r"test\.db.*backup"):
        SqliteDatabase(tmp_path / "test.db")


async def test_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    """A database cannot be made in a folder that is not there, and nothing stays open."""
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        SqliteDatabase(tmp_path / "nowhere" / "test.db")


async def test_a_damaged_page_is_unavailable(database: SqliteDatabase) -> None:
    """A read that meets damage says so in our words."""
    await database.write(putting("a", "x" * 100_000))
    await database.close()
    size = database.path.stat().st_size
    with database.path.open("r+b") as file:
        file.seek(size - 50_000)
        file.write(b"\xff" * 50_000)
    damaged = SqliteDatabase(database.path)
    with pytest.raises(DatabaseUnavailable, match="backup"):
        await damaged.one(GET, key="a")
    await damaged.close()


async def test_close_leaves_one_file(database: SqliteDatabase) -> None:
    """The last process to close folds the log into the database file."""
    await database.write(putting("a"))
    await database.close()
    assert not database.path.with_name(f"{database.path.name}-wal").exists()


async def test_names_with_odd_characters_are_opened(tmp_path: Path) -> None:
    """Spaces, question marks, percent signs and hashes in the path are no options."""
    folder = tmp_path / "a b?mode=memory#%41"
    folder.mkdir()
    database = SqliteDatabase(folder / "test.db")
    await database.close()
    assert (folder / "test.db").exists()


async def test_many_parameters_reach_the_writer(database: SqliteDatabase) -> None:
    """`many` inside a failing savepoint leaves nothing."""

    async def work(transaction: Transaction) -> None:
        await transaction.many(PUT, [{"key": str(number), "value": ""} for number in range(1000)])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(work)
    assert await database.one(COUNT) == (0,)
