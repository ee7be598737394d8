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
