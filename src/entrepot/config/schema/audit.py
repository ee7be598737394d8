"""`audit`: the audit log."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from entrepot.config.section import Section
from entrepot.config.values import Duration, Flag, Text, refuse

_SCHEMES = ("udp", "tcp", "unix")
#: Shorter ones are a mistake of the unit.
_SHORTEST = 24 * 3600.0


def _check_receiver(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in _SCHEMES or not (parts.path if parts.scheme == "unix" else parts.hostname)):
        raise refuse("write it as udp://HOST:514, tcp://HOST:601 or unix:///PATH")
    return url


def _check_retention(seconds: float) -> float:
    if 0 < seconds < _SHORTEST:
        raise refuse("keep events for at least 24h, or for ever with 0")
    return seconds


Retention = Annotated[Duration, AfterValidator(_check_retention)]
Receiver = Annotated[Text, AfterValidator(_check_receiver)]


class Audit(Section):
    """The audit log (our own section)."""

    pulls: Flag = False
    """Whether pulls are events, too. Pushes, deletes, sign-ins and all changes always are."""
    retention: Retention = 0.0
    """Age at which events are removed, at least a day; 0 keeps them for ever. The chain stays checkable. On PostgreSQL
    whole months go, once all of it is that old."""
    syslog: Receiver = ""
    """Where events are forwarded to as RFC 5424: `udp://HOST:514`, `tcp://HOST:601` or `unix:///PATH`."""
