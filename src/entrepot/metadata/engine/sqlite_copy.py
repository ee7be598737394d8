"""A copy of a SQLite database that may be in use."""

import sqlite3
from contextlib import closing
from pathlib import Path

from entrepot.metadata.engine.sqlite_connection import connect_reader, make_private, translated
from entrepot.metadata.engine.synced_folder import sync


def copy_database(source: Path, target: Path) -> None:
    """Copy a database with everything committed so far; `target` appears complete and on the disk, or not at all.

    Raises:
        DatabaseFull: No space for the copy.
        DatabaseUnavailable: The source cannot be read or the target cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    make_private(partial)
    try:
        with translated(target), closing(connect_reader(source)) as reading, closing(sqlite3.connect(partial)) as copy:
            reading.backup(copy)
            _end_log(copy)  # the copy inherits the log mode
        sync(partial)
        partial.rename(target)
        sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def make_one_file(path: Path) -> None:
    """Bring what stands in the log of a database that nobody has open into its one file.

    Raises:
        DatabaseFull: No space for it.
        DatabaseUnavailable: It cannot be read or written.
    """
    with translated(path), closing(sqlite3.connect(path)) as connection:
        _end_log(connection)


def _end_log(connection: sqlite3.Connection) -> None:
    """Go on without a log: what is one file can be carried away."""
    connection.execute("PRAGMA journal_mode = DELETE").close()
