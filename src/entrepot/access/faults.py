"""What can be wrong with a request to manage accounts, rights or projects; `web/api` and `cli` say it to people."""

from __future__ import annotations


class Fault(Exception):
    """A request that cannot be done; the message says why and what to do."""


class NotFound(Fault):
    """There is no such thing, or the caller may not know of it."""


class Conflict(Fault):
    """There is one of that name already, or it is still in use."""


class Invalid(Fault):
    """The request says something that cannot be."""


class Forbidden(Fault):
    """The caller may know of it and may not do this."""


class PreconditionFailed(Fault):
    """It has changed since the caller looked, or its state does not allow this."""


def require_unchanged(what: str, updated_at: int, expected: int | None) -> None:
    """Go on only if something is still as the caller knows it; ask within the transaction that changes it.

    Args:
        what: Names it for people.
        updated_at: When it was changed last.
        expected: The same as far as the caller knows; None if they do not say.

    Raises:
        PreconditionFailed: It was changed since.
    """
    if expected is not None and updated_at != expected:
        raise PreconditionFailed(f"{what} was changed since you read it; read it again")
