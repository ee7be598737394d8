"""The address that a health check asks: what is shown of it, and what is sent."""

from __future__ import annotations

import base64
import urllib.parse
from dataclasses import dataclass, field
from typing import Final

_HIDDEN: Final = "***"


@dataclass(frozen=True, slots=True)
class AskedUri:
    """A URI taken apart. Only `shown` may be written anywhere: the rest may hold credentials."""

    shown: str  #: without user, password and the values of the query
    plain: str = field(repr=False)  #: as it is asked: without user and password
    authorization: str | None = field(repr=False)  #: what user and password become (RFC 7617)

    @classmethod
    def parse(cls, uri: str) -> AskedUri | None:
        """Take a URI apart; None when it is not an http or https address."""
        try:
            parts = urllib.parse.urlsplit(uri)
            user, at, host = parts.netloc.rpartition("@")
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 0) >= 0
        except ValueError:
            return None
        if not usable:
            return None
        bare = parts._replace(netloc=host, fragment="")
        shown = bare._replace(query=_HIDDEN if parts.query else "")
        return cls(shown.geturl(), bare.geturl(), _basic(user) if at else None)


def shown_uri(uri: str) -> str:
    """Return what may be shown of a URI, of a malformed one too."""
    asked = AskedUri.parse(uri)
    return _HIDDEN if asked is None else asked.shown


def _basic(user: str) -> str:
    return "Basic " + base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
