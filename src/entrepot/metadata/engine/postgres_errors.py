"""From what asyncpg raises to the errors of this package, and which of them another try may survive."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import asyncpg

from entrepot.metadata.errors import ConstraintViolated, DatabaseError, DatabaseFull, DatabaseUnavailable


class Retryable(DatabaseUnavailable):
    """What was asked has changed nothing, and may be asked again."""

    def __init__(self, message: str, state: str = "") -> None:
        super().__init__(message)
        #: SQLSTATE, or a word of ours where the server said nothing.
        self.state: Final = state


class Conflict(Retryable):
    """Other transactions were in the way, again and again."""


class ConnectionLost(Retryable):
    """The connection ended, or leads to a server that is not the primary (any more); another one may answer."""


class NoAnswer(DatabaseUnavailable):
    """The server said nothing for too long."""


class OutcomeUnknown(DatabaseUnavailable):
    """The connection ended in COMMIT, and nobody can say what became of the transaction."""


#: The way out for a pooler that keeps no prepared statements.
POOLED_STATEMENTS: Final = "set max_prepared_statements = 100 in pgbouncer.ini"

#: By SQLSTATE or its class; the first that fits.
_KINDS: Final[Mapping[str, type[DatabaseError]]] = {
    "40": Conflict,
    "55P03": Conflict,  # lock_timeout
    "23": ConstraintViolated,
    "53100": DatabaseFull,
    "53300": ConnectionLost,  # too many connections: one may be free in a moment
    "08": ConnectionLost,
    "57P": ConnectionLost,  # the server stops, starts, or has ended this connection
    "25P03": ConnectionLost,  # idle_in_transaction_session_timeout
    "0A000": ConnectionLost,  # "read-write mode during recovery": a primary that is none any more
    "55000": ConnectionLost,  # the same, said by functions about the log
    "26000": ConnectionLost,  # a prepared statement that a pooler has lost
    "57014": DatabaseUnavailable,  # statement_timeout
    "28": DatabaseUnavailable,
    "3D": DatabaseUnavailable,
    "53": DatabaseUnavailable,
    "58": DatabaseUnavailable,
}


@contextmanager
def translated(*, writing: bool = False) -> Iterator[None]:
    """Turn what the driver raises into the errors of this package; `writing` within a transaction that may write."""
    try:
        yield
    except DatabaseError:
        raise
    except asyncpg.PostgresError as error:
        raise _translate(error, writing=writing) from error
    except asyncpg.TargetServerAttributeNotMatched as error:
        raise ConnectionLost(
            "PostgreSQL: no server at this address is a primary; one may be promoted", "standby"
        ) from error
    except TimeoutError as error:
        raise NoAnswer("PostgreSQL: no answer in time") from error
    except ssl.SSLError as error:  # some of these are values errors too
        raise DatabaseUnavailable(f"PostgreSQL: TLS as sslmode and sslrootcert ask for it failed: {error}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        if isinstance(error, ValueError | TypeError):  # a value of the wrong type: a mistake in the program
            raise DatabaseError(f"PostgreSQL: {error}") from error
        raise ConnectionLost(f"PostgreSQL: {error}", "lost") from error
    except Exception as error:
        # Bytes that were changed on the way meet the driver wherever they happen to; only TLS notices each of them.
        raise ConnectionLost(f"PostgreSQL: an answer that cannot be read ({type(error).__name__})", "lost") from error


def took_too_long(error: DatabaseError) -> bool:
    """Tell whether the server itself ended a statement at statement_timeout."""
    return isinstance(error.__cause__, asyncpg.QueryCanceledError)


def names_nothing(error: DatabaseError) -> bool:
    """Tell whether a value cannot be in any row: PostgreSQL takes no text with a NUL, which SQLite does."""
    return isinstance(error.__cause__, asyncpg.CharacterNotInRepertoireError)


def _translate(error: asyncpg.PostgresError, *, writing: bool) -> DatabaseError:
    state = error.sqlstate or ""
    # Only the message: the detail quotes the row's values, and some are secrets.
    message = f"PostgreSQL: {error.args[0]} ({state})"
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Conflict(message, state)  # a migration changed a table since; the driver prepares anew
    if state == "25006" and writing:
        return ConnectionLost(message, state)  # read-only where we asked to write: a primary that is none any more
    kind = next((kind for prefix, kind in _KINDS.items() if state.startswith(prefix)), DatabaseError)
    if state == "26000":
        message = f"{message}; behind pgbouncer: {POOLED_STATEMENTS}"
    return kind(message, state) if issubclass(kind, Retryable) else kind(message)
