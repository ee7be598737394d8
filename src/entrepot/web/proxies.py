"""Under which address were we asked, and by whom: what proxies say about it, if they may be believed."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from entrepot.web.http import Request, client_host
from entrepot.web.settings import WebSettings

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_FORWARDED = re.compile(r"(?:^|;)\s*(?P<key>proto|host)=(?P<quote>\"?)(?P<value>[^\";,\s]*)(?P=quote)", re.IGNORECASE)
_REMEMBERED = 4096


class Proxies:
    """Reads `Forwarded` and `X-Forwarded-…` (RFC 7239) of the proxies that are trusted."""

    __slots__ = ("_believe_all", "_clients", "_networks", "host")

    def __init__(self, settings: WebSettings) -> None:
        self._believe_all = settings.trusted_proxies is None
        networks = settings.trusted_proxies or ()
        self._networks = _Networks(networks)
        self._clients = _Networks(networks if settings.client_proxies is None else settings.client_proxies)
        self.host = settings.host.rstrip("/")  #: the address that the operator says clients reach us at; may be empty

    def origin(self, request: Request) -> str:
        """Return scheme and host under which a client reaches us; empty when the request has no usable host.

        `http.host` beats `Forwarded`, which beats `X-Forwarded-Proto` and `X-Forwarded-Host`, as in registry:2.
        """
        if self.host:
            return self.host
        scheme, host = self._forwarded(request) if self._may_say_address(request) else ("", "")
        scheme = scheme or request.scope.get("scheme", "http")
        host = host or request.header(b"host") or ""
        # What is no host name is not reflected: a relative address serves every client.
        return f"{scheme}://{host}" if _HOST.fullmatch(host) and scheme in ("http", "https") else ""

    def client(self, request: Request) -> str:
        """Return the client's address: the nearest one that is not a trusted proxy's.

        Only proxies named in the configuration are believed: limits on failed sign-ins go by this address.
        """
        chain = request.header_values(b"x-forwarded-for")
        if not chain or not self.sent(request):
            return request.client
        for entry in reversed(",".join(chain).split(",")):
            address = _address(entry)
            if address is None:
                break
            if str(address) not in self._clients:
                return str(address)
        return request.client

    def sent(self, request: Request) -> bool:
        """Tell whether the request came from a proxy that the configuration names."""
        return bool(self._clients) and client_host(request.scope) in self._clients

    def _may_say_address(self, request: Request) -> bool:
        return self._believe_all or client_host(request.scope) in self._networks

    def _forwarded(self, request: Request) -> tuple[str, str]:
        forwarded = request.header(b"forwarded")
        if forwarded:
            nearest = forwarded.partition(",")[0]
            found = {match["key"].lower(): match["value"] for match in _FORWARDED.finditer(nearest)}
            return found.get("proto", "").lower(), found.get("host", "")
        scheme = (request.header(b"x-forwarded-proto") or "").partition(",")[0].strip().lower()
        host = (request.header(b"x-forwarded-host") or "").partition(",")[0].strip()
        return scheme, host


class _Networks:
    """Networks of proxies, and which hosts are in them."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, host: str) -> bool:
        known = self._known.get(host)
        if known is None:
            address = _address(host)
            # A Unix socket has no address: whoever may open it stands where a proxy stands.
            known = host == "" or (address is not None and any(address in network for network in self._networks))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[host] = known
        return known


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip().strip('"').removeprefix("[").removesuffix("]")
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
