"""What goes wrong on the way out. Messages name the origin alone: paths and queries may hold secrets."""

from __future__ import annotations


class OutboundError(Exception):
    """Somebody else could not be asked, or gave no usable answer."""


class TargetRefused(OutboundError):
    """The address is none that this registry may ask; the message says why and what an operator can do."""


class Unreachable(OutboundError):
    """There was no connection: no such name, nobody listening, or a certificate that nobody we know signed."""


class TimedOut(OutboundError):
    """The answer did not arrive in time."""


class AnswerInvalid(OutboundError):
    """What came back is no answer that can be used: too long, packed, or led astray too often."""
