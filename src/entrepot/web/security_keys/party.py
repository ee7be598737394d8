"""For which host a key signs: the one that the browser's address line shows."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from entrepot.access.faults import Invalid
from entrepot.access.second_factor.security_key_answers import RelyingParty
from entrepot.web.http import Request
from entrepot.web.proxies import Proxies
from entrepot.web.this_host import is_this_host

_PORTS = {"http": 80, "https": 443}


def find_party(request: Request, proxies: Proxies) -> RelyingParty | None:
    """Return for whom a key would sign; None where browsers know no keys: without a name, or over plain http.

    The host is `http.host`, or else what the request says. A request that says another host than the one that a key was
    registered under gets nothing from it: the key's row names its host, and its owner's browser the page that asked.
    """
    try:
        parts = urlsplit(proxies.origin(request))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not host or _is_address(host) or (parts.scheme != "https" and not is_this_host(host)):
        return None
    usual = port is None or port == _PORTS.get(parts.scheme)
    return RelyingParty(host=host, origin=f"{parts.scheme}://{host}" + ("" if usual else f":{port}"))


def party_of(request: Request, proxies: Proxies) -> RelyingParty:
    """Return for whom a key would sign.

    Raises:
        Invalid: Browsers know no keys at this address.
    """
    found = find_party(request, proxies)
    if found is None:
        raise Invalid("security keys need https and a host with a name, not an address; open the registry by its name")
    return found


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
