"""Whether a request was made on this host, or only handed on by something on it: a proxy, a tunnel.

Limits on guessing are mild to this host, for its operator's sake. A proxy or a tunnel here that says nothing of its
clients makes all the world look like this host; by the name that they ask for they are told apart from it. That name is
theirs to choose where nothing in front reads it: an operator who says under which address the registry is reached
(`http.host`) says with it that no request is this host's own.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from entrepot.access.throttle import LOCAL, PROXIED, network_of
from entrepot.web.http import Request
from entrepot.web.proxies import Proxies

#: What only those send who hand on what others ask.
_HANDED_ON = (b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip")


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
    if host and not is_this_host(_name_of(host)):
        return True
    return any(request.header(name) is not None for name in _HANDED_ON)


def _name_of(host: str) -> str:
    return _name_of_url(f"//{host}")


def _name_of_url(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
