"""Turns Alembic revisions into statements, without a connection."""

from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Final, TextIO, cast

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory

from entrepot.metadata.dialect import Dialect

_FOLDER: Final = Path(__file__).parent
#: The `op` of the revisions is one for the whole process.
_ONE_AT_A_TIME: Final = Lock()


def statements(dialect: Dialect, after: int, to: int, *, finished: bool = False) -> list[str]:
    """Return what brings a database of version `after` (0: an empty one) to version `to`.

    That begins with the post half of `after`, unless the database is `finished` with that.
    """
    lower = f"{after:04}_{'post' if finished else 'pre'}" if after else "base"
    return _between(dialect, f"{to:04}_pre", lower)


def finishing(dialect: Dialect, version: int) -> list[str]:
    """Return the post half of a version: it takes away what only older programs need."""
    return _between(dialect, f"{version:04}_post", f"{version:04}_pre")


def _between(dialect: Dialect, upper: str, lower: str) -> list[str]:
    written = _Statements()
    context = MigrationContext.configure(
        dialect_name=dialect.name, opts={"as_sql": True, "output_buffer": cast("TextIO", written)}
    )
    with _ONE_AT_A_TIME, Operations.context(context):
        for revision in _in_order(upper, lower):
            revision.module.upgrade()
    return written.statements


def versions() -> list[str]:
    """Return the names of all revisions, oldest first."""
    return [revision.revision for revision in _in_order("heads", "base")]


def _in_order(upper: str, lower: str) -> Iterator[Script]:
    directory = ScriptDirectory(str(_FOLDER))
    return reversed(list(directory.iterate_revisions(upper, lower)))


class _Statements:
    """Takes what Alembic would print into a script; it writes each statement with one call."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def write(self, text: str) -> None:
        statement = text.strip().removesuffix(";")
        if statement and not statement.startswith("--"):
            self.statements.append(statement)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""
