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
            # The copy inherits the log mode; without a log it is one file that can be carried away.
            copy.execute("PRAGMA journal_mode = DELETE").close()
        sync(partial)
        partial.rename(target)
        sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
