"""Connections to SQLite: every pragma in one place, and the driver's errors in our words."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from entrepot.metadata.errors import ConstraintViolated, DatabaseError, DatabaseFull, DatabaseUnavailable

#: Strict tables came with this version, RETURNING shortly before.
OLDEST_SQLITE: Final = (3, 37, 0)
#: A reader never waits for a writer in WAL mode; this is for the moments of recovery and for foreign tools.
PATIENCE_MS: Final = 5000
#: Statements that the driver keeps prepared per connection, more than the project has.
PREPARED: Final = 512
#: Pages after which a commit moves the log into the database file (4 MiB). The ballast must be larger: on a full
#: disk the database file has to grow by as much before the log can be cut.
CHECKPOINT_PAGES: Final = 1000
#: To what the log file is cut after such a move.
WAL_LIMIT_BYTES: Final = 16 * 1024 * 1024
#: Pages kept in memory per connection; behind them the kernel keeps the file. A commit of another process empties it.
READER_CACHE_KIB: Final = 8 * 1024
WRITER_CACHE_KIB: Final = 4 * 1024


class Durability(StrEnum):
    """When a commit counts as done."""

    #: Every commit is on the disk when it is answered: the truth.
    FULL = "FULL"
    #: The last commits may be lost with the power, never the database's consistency: work in progress.
    NORMAL = "NORMAL"


def connect_writer(path: Path, durability: Durability) -> sqlite3.Connection:
    """Open the connection of the writer thread, and create the database when there is none.

    Raises:
        DatabaseUnavailable: The file cannot be opened, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise DatabaseUnavailable(f"SQLite {sqlite3.sqlite_version} is too old: Entrepot needs {wanted} or newer")
    make_private(path)
    return _connect(
        path,
        "rwc",
        "journal_mode = WAL",
        f"synchronous = {durability.value}",
        "foreign_keys = ON",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"journal_size_limit = {WAL_LIMIT_BYTES}",
        f"cache_size = -{WRITER_CACHE_KIB}",
    )


def make_private(path: Path) -> None:
    """Make an empty file that only we may read, unless there is one: a database holds hashes of secrets.

    SQLite gives its log and its shared memory the mode of the database. What cannot be made is for SQLite to report.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write and whose every statement sees the last commit.

    Raises:
        DatabaseUnavailable: The file cannot be opened.
    """
    return _connect(path, "ro", "query_only = ON", f"cache_size = -{READER_CACHE_KIB}")


def _connect(path: Path, mode: str, *pragmas: str) -> sqlite3.Connection:
    with translated(path), ExitStack() as stack:
        connection = stack.enter_context(
            closing(
                sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode={mode}",
                    uri=True,
                    isolation_level=None,
                    check_same_thread=False,
                    cached_statements=PREPARED,
                )
            )
        )
        # Temporary files would go to /var/tmp or /tmp, which a container may lack or have read-only.
        for pragma in (f"busy_timeout = {PATIENCE_MS}", "temp_store = MEMORY", *pragmas):
            connection.execute(f"PRAGMA {pragma}").close()
        stack.pop_all()
    return connection


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the driver raises into the errors of this package."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def translate(error: sqlite3.Error, path: Path) -> DatabaseError:
    """Say in our words what the driver said about the database at `path`."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    message = f"{path}: {error}"
    if code in _FULL or code & 0xFF in _FULL:
        return DatabaseFull(f"{message}; free some space on the disk that holds {path.parent}")
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:  # a move has left this database
        return DatabaseUnavailable(message)
    if code & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return ConstraintViolated(message)
    if code & 0xFF in _DAMAGED:
        return DatabaseUnavailable(f"{message}; restore {path} from a backup or rebuild it from the blob folder")
    if code & 0xFF in _UNAVAILABLE:
        return DatabaseUnavailable(f"{message} ({getattr(error, 'sqlite_errorname', 'unknown')})")
    return DatabaseError(message)


# The shared memory file is the one thing SQLite lengthens outside of its own full-disk check.
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_AUTH,
    }
)
