"""What can go wrong between the registry and its database, one class per fact.

No driver's exception leaves this package: executors translate at their edge.
"""


class DatabaseError(Exception):
    """The database refused a statement."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be used just now: closed, locked for too long, unreachable or unreadable."""


class UnsuitableDatabase(DatabaseUnavailable):
    """The server, or what stands before it, is set up so that our promises cannot be kept; the message says how to."""


class LockLost(DatabaseUnavailable):
    """What was held on the database's word may be somebody else's by now: the way to the database was cut."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the turn to use {name} was lost: the database that keeps it is out of reach")


class DatabaseFull(DatabaseError):
    """The disk below the database is full; nothing of the transaction was kept."""


class TookTooLong(DatabaseError):
    """A question about very many rows was broken off."""

    def __init__(
        self, message: str = "there is too much to look through for this list; ask for less, with q or another order"
    ) -> None:
        super().__init__(message)


class ConstraintViolated(DatabaseError):
    """A row breaks a unique, foreign key, not null or check rule of the schema."""


class AwaitInsideTransaction(DatabaseError):
    """A write transaction awaited something other than the database (a blob, the network, a timer)."""

    def __init__(self) -> None:
        super().__init__(
            "a write transaction awaited something that is not the database; do it before or after the transaction"
        )


class SchemaTooNew(DatabaseError):
    """The database was upgraded past what this program can use."""


class SchemaTooOld(DatabaseError):
    """The database has not been upgraded yet."""


class UnsafeFileSystem(DatabaseError):
    """The folder lies on a file system on which SQLite's locks and shared memory cannot be trusted."""


class AnotherHost(DatabaseError):
    """The folder is in use by another host."""
