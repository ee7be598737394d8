"""What an operator decided about the HTTP side."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from entrepot.web.body import BodyLimits

KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """How large a request may be, and how many are served at once by one worker."""

    headers: int = 90  #: the server itself refuses more than 100, without an explanation
    header_bytes: int = 48 * KIB
    uri_bytes: int = 8 * KIB
    concurrent: int = 1024
    body: BodyLimits = field(default_factory=BodyLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Settings of the web layer; the names in brackets are those of the configuration file."""

    host: str = ""  #: `http.host`: a URL that beats everything a request says about our address
    prefix: str = ""  #: `http.prefix`
    relative_urls: bool = False  #: `http.relativeurls`
    headers: tuple[tuple[str, str], ...] = ()  #: `http.headers`, added to every answer
    #: `http.trustedproxies`: who may say where a request really came from. None believes everybody about the address
    #: under which we were reached, as registry:2 does, and nobody about the client's.
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] | None = None
    #: Who may say so of the client's address, by which failed sign-ins and requests are counted; None: the same.
    client_proxies: tuple[IPv4Network | IPv6Network, ...] | None = None
    limits: RequestLimits = field(default_factory=RequestLimits)
    catalog_max_entries: int = 1000  #: `catalog.maxentries`
    tags_max: int = 1000  #: `tags.maxtags`
    referrers_max: int = 500
    chunk_min_bytes: int = 0  #: least chunk worth sending (`OCI-Chunk-Min-Length`); 0 for stores that do not mind
    #: Seconds by which a token may have expired when it continues an upload that it was allowed to open.
    upload_grace_seconds: float = 24 * 3600.0
