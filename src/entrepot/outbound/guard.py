"""From a name to the addresses that may be connected to: looked up once, and every one of them checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from entrepot.outbound.addresses import Address, plain, why_not
from entrepot.outbound.errors import TargetRefused, Unreachable
from entrepot.outbound.settings import OutboundSettings
from entrepot.outbound.urls import Url

#: Gives the addresses of a name. Raises OSError when there are none.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How one request goes out: to these addresses, or through the proxy, which does the looking up."""

    url: Url
    addresses: tuple[str, ...]
    proxy: str = ""


async def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def plan(url: Url, settings: OutboundSettings, resolve: Resolve = look_up) -> Route:
    """Decide how an address is reached.

    Raises:
        TargetRefused: It may not be asked.
        Unreachable: The name has no address.
    """
    if settings.proxy and not _is_own(url, settings):
        _check_for_proxy(url, settings)
        return Route(url=url, addresses=(), proxy=settings.proxy)
    try:
        found = await resolve(url.host, url.port)
    except (OSError, UnicodeError):
        found = ()
    if not found:
        raise Unreachable(f"{url.origin}: no address is known for this name; check its spelling and the name service")
    _check(url, [plain(address) for address in found], settings)
    return Route(url=url, addresses=tuple(found))


def _check(url: Url, addresses: Sequence[Address], settings: OutboundSettings) -> None:
    by_name = url.host in settings.hosts
    for address in addresses:
        reason = why_not(address, settings.networks, by_name=by_name)
        if reason:
            raise TargetRefused(
                f"{url.origin} leads to {address}, which {reason}; if it is meant, list it under outbound.allow"
            )
    if url.scheme != "https" and not by_name and not all(_listed(address, settings) for address in addresses):
        raise TargetRefused(f"{url.origin} is not https; if it is meant, list the host under outbound.allow")


def _check_for_proxy(url: Url, settings: OutboundSettings) -> None:
    """Check what can be checked where the proxy looks names up: addresses, this machine's name, and TLS."""
    literal = _literal(url.host)
    if literal is not None or url.host == "localhost" or url.host.endswith(".localhost"):
        _check(url, [literal or plain("127.0.0.1")], settings)
    if url.scheme != "https":
        raise TargetRefused(f"{url.origin} is not https; if it is meant, list the host under outbound.allow")


def _is_own(url: Url, settings: OutboundSettings) -> bool:
    """Tell whether the operator listed the host: it is then asked directly, as within one's own networks."""
    literal = _literal(url.host)
    return url.host in settings.hosts or (literal is not None and _listed(literal, settings))


def _literal(host: str) -> Address | None:
    """Return the address that a host is, in any of the spellings that the system's own reader takes."""
    try:
        return plain(host)
    except ValueError:
        pass
    try:
        return plain(socket.inet_ntoa(socket.inet_aton(host)))  # 127.1, 0x7f000001, 2130706433, 0177.0.0.1
    except OSError:
        return None


def _listed(address: Address, settings: OutboundSettings) -> bool:
    return any(address in network for network in settings.networks)
