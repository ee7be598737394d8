"""Whether a request was made on this host, or only handed on by something on it: a proxy, a tunnel.

Limits on guessing are mild to this host, for its operator's sake. A proxy or a tunnel here that says nothing of its
clients makes all the world look like this host; by the name that they ask for they are told apart from it. That name is
theirs to choose where nothing in front reads it: an operator who says under which address the registry is reached
(`http.host`) says with it that no request is this host's own.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from entrepot.access.passwords.throttle import LOCAL, PROXIED, network_of
from entrepot.web.http import Request
from entrepot.web.proxies import Proxies

#: What only those send who hand on what others ask.
_HANDED_ON = frozenset({b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"})
#: The same few hosts are asked for over and over; longer ones are read each time, so that what is remembered is small.
_REMEMBERED_HOSTS = 1024
_REMEMBERED_LENGTH = 256


def client_of(request: Request, proxies: Proxies) -> str:
    """Return the client's address; for those whom something on this host hides, the one name `PROXIED`."""
    client = proxies.client(request)
    if network_of(client) != LOCAL:
        return client
    outer = _name_of_url(proxies.host) if proxies.host else ""
    return PROXIED if (outer and not is_this_host(outer)) or _is_handed_on(request) else client


def is_this_host(name: str) -> bool:
    """Tell whether a host's name or address, without a port, always means the host where it is asked for."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_handed_on(request: Request) -> bool:
    host = request.header(b"host")
    if host and not _means_this_host(host):
        return True
    return not _HANDED_ON.isdisjoint(dict(request.scope["headers"]))


def _means_this_host(host: str) -> bool:
    look = _look_at if len(host) <= _REMEMBERED_LENGTH else _look_at.__wrapped__
    return look(host)


@lru_cache(maxsize=_REMEMBERED_HOSTS)
def _look_at(host: str) -> bool:
    return is_this_host(_name_of_url(f"//{host}"))


def _name_of_url(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
