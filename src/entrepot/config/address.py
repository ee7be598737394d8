"""Addresses to listen on, as Go writes them: `:5000`, `localhost:5000`, `[::1]:5000`, or the path of a socket."""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: a host and port, or a Unix socket."""

    #: Empty for all addresses of the machine, IPv4 and IPv6.
    host: str = ""
    #: 0 lets the system choose.
    port: int = 0
    socket: Path | None = None

    @property
    def is_local(self) -> bool:
        """True when only this machine can connect."""
        if self.socket is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.socket is not None:
            return f"unix:{self.socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read `host:port`, with the host in brackets when it is IPv6.

    Raises:
        ValueError: No port, a port out of range or of no known name, or an IPv6 host without brackets.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("has no port")
    if host.startswith("[") and host.endswith("]"):
        return Address(host=_check_ipv6(host[1:-1]), port=_parse_port(port))
    if ":" in host or "[" in host or "]" in host or "/" in host:
        raise ValueError("has a host that is neither a name nor an address (IPv6 goes in brackets)")
    return Address(host=host, port=_parse_port(port))


def _check_ipv6(host: str) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError("has brackets around what is not IPv6") from None
    return host


def _parse_port(text: str) -> int:
    if not text:
        return 0
    port = int(text) if text.isascii() and text.isdigit() else _named_port(text)
    if port > _HIGHEST_PORT:
        raise ValueError("has a port above 65535")
    return port


def _named_port(text: str) -> int:
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, UnicodeError):
        raise ValueError("has a port that is neither a number nor a known service") from None
