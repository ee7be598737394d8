"""Opens the two SQLite files of an embedded registry: the truth and the work in progress.

Every process of a registry opens them for itself. What only one may do at a time (building tables, migrating)
happens under the start lock.
"""

import asyncio
import errno
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from entrepot.config.mounts import READ_ONLY_REMEDY
from entrepot.metadata import clock, move_mark, schema, settings, work_shape
from entrepot.metadata.database import Database, Reader
from entrepot.metadata.engine.ballast import Ballast, Reserve, with_reserve
from entrepot.metadata.engine.filesystems import require_local
from entrepot.metadata.engine.host_lease import Host, HostLease, LeaseTimes
from entrepot.metadata.engine.sqlite import SqliteDatabase
from entrepot.metadata.engine.sqlite_connection import Durability
from entrepot.metadata.engine.sqlite_copy import copy_database
from entrepot.metadata.engine.synced_folder import sync
from entrepot.metadata.errors import DatabaseFull, DatabaseUnavailable
from entrepot.metadata.schema import Schema

METADATA_NAME: Final = "metadata.db"
WORK_NAME: Final = "work.db"
START_LOCK_NAME: Final = "start.lock"
#: How often a process that waits for the start lock asks for it.
START_LOCK_SECONDS: Final = 0.02
#: The setting that says when the machine was last found to have stopped without warning.
UNCLEAN_STOP: Final = "integrity.unclean_stop"
#: The setting that says when the database was last found without its log.
LOST_LOG: Final = "metadata.lost_log"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The databases of one process."""

    #: Tables of `tables`: every commit is durable.
    metadata: Database
    #: Tables of `work_tables.py`: may be lost.
    work: Database
    #: What is put aside on their disk, where that is ours to look after.
    ballast: Ballast | None = None
    _closing: AsyncExitStack = field(repr=False)

    async def close(self) -> None:
        """Finish queued writes, close both databases and end this process's part in the host lease."""
        await self._closing.aclose()


async def open_embedded(
    folder: Path, *, host: Host | None = None, times: LeaseTimes | None = None, moving: bool = False
) -> Stores:
    """Open the databases in a folder; make the folder and the tables when they are missing, upgrade older ones.

    Args:
        folder: Where the files are, on a local disk.
        host: Who asks; this host unless given.
        times: The lease's times.
        moving: Whether for a move of the database, which may open what was left or is being filled.

    Raises:
        DatabaseMoved: The database was left by a move, or is being filled by one.
        UnsafeFileSystem: The folder is on a network file system.
        AnotherHost: Another host uses the folder.
        SchemaTooNew: A newer program has left this one behind.
        DatabaseUnavailable: The folder or a file cannot be used.
        DatabaseFull: No space for the tables.
    """
    with with_reserve(Reserve.RELEASED):  # a start writes little, and nothing is freed without one
        try:
            return await _open(folder, host, times, moving=moving)
        except OSError as error:
            if error.errno not in _REMEDIES:
                raise
            kind = DatabaseUnavailable if error.errno == errno.EROFS else DatabaseFull
            raise kind(f"cannot write to {folder}: {error.strerror}; {_REMEDIES[error.errno]}") from error


async def _open(folder: Path, host: Host | None, times: LeaseTimes | None, *, moving: bool) -> Stores:
    async with AsyncExitStack() as stack:
        _make_folder(folder)
        require_local(folder)
        ballast = Ballast(folder)
        ballast.admit(Reserve.RELEASED)
        lease = await asyncio.to_thread(HostLease.take, folder, host, times)
        stack.push_async_callback(asyncio.to_thread, lease.release)
        async with start_lock(folder):
            lost = _has_lost_its_log(folder / METADATA_NAME)
            metadata = _open_metadata(folder, lease, ballast)
            stack.push_async_callback(metadata.close)
            if not moving:
                await move_mark.require_usable(metadata)
            await schema.upgrade(metadata, lambda version: _keep_copy(folder, version))
            await _note_unclean_stop(metadata, lease)
            await _note_lost_log(metadata, lost=lost)
            work = _open_work(folder, lease, ballast)
            stack.push_async_callback(work.close)
            await work_shape.complete(work)
        return Stores(metadata=metadata, work=work, ballast=ballast, _closing=stack.pop_all())
    raise AssertionError  # the stack swallows nothing


async def look_at_schema(folder: Path) -> Schema | None:
    """Return the schema of the metadata in a folder, and change nothing.

    Raises:
        DatabaseUnavailable: There is no database, or it cannot be read.
    """
    database = SqliteDatabase(folder / METADATA_NAME)
    try:
        return await schema.find(database)
    finally:
        await database.close()


@asynccontextmanager
async def start_lock(folder: Path) -> AsyncIterator[None]:
    """Let one process of this host at a time prepare the folder."""
    descriptor = os.open(folder / START_LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        # Asked again and again, not waited for in a thread: the holder may need the last thread of the pool.
        while not _locked(descriptor):  # noqa: ASYNC110 - a lock between processes has no event to wait for
            await asyncio.sleep(START_LOCK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_CHOWN: Final = "give it to the user that runs entrepot (chown), or run entrepot as its owner"
_FULL: Final = "free some space, or some inodes, on its disk; what was put aside there is used up"
#: What helps where something else than the owner is wrong.
_REMEDIES: Final = {errno.EROFS: READ_ONLY_REMEDY, errno.ENOSPC: _FULL, errno.EDQUOT: _FULL}


def _make_folder(folder: Path) -> None:
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Nobody else has business with the databases, nor with the lock files: who may open one may hold its lock.
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in reversed(missing):
            sync(path.parent)
        (folder / START_LOCK_NAME).touch()
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, _CHOWN)
        raise DatabaseUnavailable(f"cannot write to {folder}: {error.strerror}; {remedy}") from error


def _open_metadata(folder: Path, lease: HostLease, ballast: Ballast) -> SqliteDatabase:
    path = folder / METADATA_NAME
    return SqliteDatabase(path, Durability.FULL, before_group=lease.require, ballast=ballast)


def _open_work(folder: Path, lease: HostLease, ballast: Ballast) -> SqliteDatabase:
    path = folder / WORK_NAME
    return SqliteDatabase(path, Durability.NORMAL, before_group=lease.require, ballast=ballast)


async def _keep_copy(folder: Path, version: int) -> None:
    target = folder / f"{METADATA_NAME}.schema-{version}"
    await asyncio.to_thread(copy_database, folder / METADATA_NAME, target)


async def _note_unclean_stop(metadata: Database, lease: HostLease) -> None:
    """Write down that the machine stopped without warning: what was on its disk before is suspect from now on."""
    if lease.after_unclean_stop:
        await metadata.write(lambda tx: settings.put(tx, UNCLEAN_STOP, str(clock.now())), name="note unclean stop")
        await asyncio.to_thread(lease.settle)


def _has_lost_its_log(path: Path) -> bool:
    """Tell whether somebody has removed a database's log: SQLite removes it last, after the index to it."""
    log, index = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    return path.exists() and index.exists() and not log.exists()


async def _note_lost_log(metadata: Database, *, lost: bool) -> None:
    """Write down that the latest commits may be gone: what they told of is in the folder, and unknown."""
    if lost:
        _log.error(
            "%s-wal is gone, and with it perhaps the latest changes: it belongs to the database until that is closed",
            METADATA_NAME,
        )
        await metadata.write(lambda tx: settings.put(tx, LOST_LOG, str(clock.now())), name="note a lost log")


async def unclean_stop(reader: Reader) -> int:
    """Return when the machine was last found to have stopped without warning, in microseconds; 0 for never."""
    return int(await settings.find(reader, UNCLEAN_STOP) or 0)
