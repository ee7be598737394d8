"""The database as use cases see it: one transaction per request, the same code on SQLite and PostgreSQL.

`tests/contracts/test_database.py` is the definition of these protocols; it runs over both executors.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from entrepot.metadata.query import Query

T = TypeVar("T")

Row = tuple[Any, ...]
#: What `Database.write` runs: it gets the open transaction and may run again after a conflict
#: or when space was made, so it must not have effects outside the transaction.
Work = Callable[["Transaction"], Awaitable[T]]


@dataclass(slots=True)
class Statistics:
    """How often this process asked its database for something; tests and metrics read the differences."""

    #: Statements run, inside and outside write transactions, without BEGIN, SAVEPOINT and COMMIT.
    statements: int = 0
    #: Write transactions answered with success.
    transactions: int = 0
    #: COMMITs made. Queued writes share one, so this is also the number of write-ahead log syncs.
    commits: int = 0


class Reader(Protocol):
    """Asks questions."""

    async def one(self, query: Query, **parameters: object) -> Row | None:
        """Return the first row, or None when there is none."""
        ...

    async def all(self, query: Query, **parameters: object) -> list[Row]:
        """Return every row, in the order of the statement."""
        ...

    async def now(self) -> int:
        """Return the time by the one clock of all who share the database, in microseconds since the epoch.

        On SQLite that is the host's, which is not asked for by a statement; on PostgreSQL it is the server's.
        """
        ...


class Transaction(Reader, Protocol):
    """An open write transaction.

    After a failed statement the transaction is lost, even when the exception is caught.
    Awaiting anything but its methods raises AwaitInsideTransaction.
    """

    async def execute(self, query: Query, **parameters: object) -> int:
        """Run a statement and return how many rows it changed.

        Raises:
            ConstraintViolated: A row would break a rule of the schema.
        """
        ...

    async def many(self, query: Query, rows: Sequence[Mapping[str, object]]) -> None:
        """Run one statement for each row of parameters."""
        ...


class Database(Reader, Protocol):
    """A database: its own `one` and `all` each see the last commit of any process."""

    @property
    def dialect(self) -> str:
        """The database's kind: "sqlite" or "postgresql"."""
        ...

    @property
    def statistics(self) -> Statistics:
        """The counts of this process so far, a copy."""
        ...

    def moment(self) -> bytes | None:
        """Name the state of what is committed: the same name as before proves that no process committed since.

        None where that is not known without asking.
        """
        ...

    async def write(self, work: Work[T], *, name: str = "") -> T:
        """Run `work` in one write transaction and return its result after the commit is durable.

        An exception of `work` rolls back what it wrote and is raised again. A caller that is cancelled
        while it waits in the queue writes nothing; later the transaction runs to its end.

        Args:
            work: Runs the statements. See `Work` for what it may do.
            name: What the transaction does, for the log.

        Raises:
            DatabaseFull: No space for the commit; nothing was kept.
            DatabaseUnavailable: The database is closed, or the queue did not move for too long.
        """
        ...

    async def close(self) -> None:
        """Finish the writes already queued and let go of the database."""
        ...
