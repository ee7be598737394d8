"""The one strict reader of addresses.

Two parsers that read one address differently are how a check is passed by (`http://good@evil`, with a backslash before
the `@`). So what is accepted has one reading only: plain characters, no user, no backslash, no escaped host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin

from entrepot.outbound.errors import TargetRefused

MAX_LENGTH = 4096
_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%|-]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Url:
    """An address that has one reading."""

    scheme: str
    host: str  #: lower case, without brackets and without the last dot
    port: int
    rest: str  #: path and query

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read an address; what follows a `#` is left out, since no server ever sees it.

        Raises:
            TargetRefused: It has no reading that everybody agrees on, or is none of HTTP.
        """
        found = _URL.fullmatch(text.partition("#")[0]) if len(text) <= MAX_LENGTH else None
        if found is None:
            raise TargetRefused(
                "the address is not plainly one of HTTP; write it as https://host[:port]/path, "
                "without user and password, in plain characters (an international name in its xn-- form)"
            )
        scheme = found["scheme"].lower()
        port = int(found["port"] or _PORTS[scheme])
        if not 0 < port <= _MAX_PORT:
            raise TargetRefused(f"the address has no usable port; ports go from 1 to {_MAX_PORT}")
        rest = found["rest"] or "/"
        return cls(scheme, _plain_host(found["host"]), port, rest if rest.startswith("/") else f"/{rest}")

    def follow(self, location: str) -> Url:
        """Read the address that an answer leads to.

        Raises:
            TargetRefused: It cannot be read.
        """
        return Url.parse(urljoin(str(self), location))

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be shown, and what credentials belong to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    def __str__(self) -> str:
        return self.origin + self.rest


def _plain_host(host: str) -> str:
    return host.strip("[]").removesuffix(".").lower()
