"""`http`: where the registry listens and how it answers."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from entrepot.config.address import Address, parse_address
from entrepot.config.section import Section
from entrepot.config.values import (
    NO_SECRET,
    Count,
    Duration,
    Flag,
    Secret,
    Text,
    Url,
    as_plain_text,
    lowered,
    refuse,
)

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _check_headers(headers: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    for name, values in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise refuse("has a name that is no HTTP header name")
        if not all(_HEADER_VALUE.fullmatch(value) for value in values):
            raise refuse(f"has a value for {name} with control characters, or beyond Latin-1")
    return headers


def _check_host(url: str) -> str:
    if not url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
        raise refuse("must be a URL with scheme and host, such as https://registry.example.org:5000")
    return url


def _with_slashes(prefix: str) -> str:
    inner = prefix.strip("/")
    return f"/{inner}/" if inner else ""


def _check_network(text: str) -> str:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise refuse("must be an address or a network such as 10.0.0.0/8 or fd00::/8") from None
    return text


def _check_tcp_address(text: str) -> str:
    try:
        parse_address(text or ":0")
    except ValueError as error:
        raise refuse(f"{error}; write it as host:port, such as localhost:5000") from None
    return text


def _check_host_name(text: str) -> str:
    if not _HOST_NAME.fullmatch(text.lower()):
        raise refuse("must be a name such as registry.example.org; neither a wildcard nor an address can be proven")
    return text.lower()


HostName = Annotated[Text, AfterValidator(_check_host_name)]
Headers = Annotated[dict[Text, tuple[Text, ...]], AfterValidator(_check_headers)]
Host = Annotated[Url, AfterValidator(_check_host)]
Prefix = Annotated[Text, AfterValidator(_with_slashes)]
Network = Annotated[Text, AfterValidator(_check_network)]
Net = Annotated[Literal["tcp", "unix", ""], BeforeValidator(as_plain_text)]
TlsVersion = Annotated[Literal["tls1.0", "tls1.1", "tls1.2", "tls1.3", ""], BeforeValidator(lowered)]
ClientAuth = Annotated[
    Literal[
        "request-client-cert",
        "require-any-client-cert",
        "verify-client-cert-if-given",
        "require-and-verify-client-cert",
        "",
    ],
    BeforeValidator(as_plain_text),
]


class LetsEncrypt(Section):
    """Certificates from Let's Encrypt, or another service that speaks ACME. Naming one of these agrees to its terms."""

    cachefile: Text = ""
    """Switches this on. Account and certificate lie in `entrepot/acme` of the data folder, whatever the name."""
    email: Text = ""
    """Address to register with."""
    hosts: tuple[HostName, ...] = ()
    """Names to get one certificate for; without any, the host of `http.host`."""
    directoryurl: Url = ""
    """Another service than Let's Encrypt."""
    addr: Annotated[Text, AfterValidator(_check_tcp_address)] = Field(default=":80", min_length=1)
    """Address to answer the service's questions on, while it asks (HTTP-01): port 80 of each name must lead there. Our
    own key."""
    ca: Text = ""
    """PEM file with the authority that signed the service's own certificate, where it is not a public one. Our own
    key."""

    @property
    def wanted(self) -> bool:
        """Whether certificates are to be got."""
        return bool(self.cachefile or self.hosts or self.email)

    @property
    def address(self) -> Address:
        """Where the service's questions are answered."""
        return parse_address(self.addr)


class Tls(Section):
    """Encryption by the registry itself. It is on when `certificate` is set, or `letsencrypt` asked for."""

    certificate: Text = ""
    """PEM file with the certificate, followed by its intermediates."""
    key: Text = ""
    """PEM file with the private key of the certificate."""
    clientcas: tuple[Text, ...] = ()
    """PEM files with authorities. When given, every client must show a certificate of one of them."""
    clientauth: ClientAuth = ""
    """What is asked of clients. With `clientcas`, only `require-and-verify-client-cert` is supported."""
    minimumtls: TlsVersion = "tls1.2"
    """Lowest version to accept. `tls1.0` and `tls1.1` are raised to `tls1.2`, with a warning."""
    ciphersuites: tuple[Text, ...] = ()
    """Cipher suites. The server cannot restrict them; a warning says so."""
    letsencrypt: LetsEncrypt = LetsEncrypt()
    """Certificates from Let's Encrypt. Not used when a certificate is given."""
    reload: Duration = 10.0
    """Time between two looks at the files for a renewed certificate; 0s never looks. Our own key."""

    @property
    def enabled(self) -> bool:
        """Whether the registry encrypts."""
        return bool(self.certificate) or self.letsencrypt.wanted

    @property
    def is_automatic(self) -> bool:
        """Whether certificates are got by the registry itself."""
        return self.letsencrypt.wanted and not self.certificate

    @property
    def lowest(self) -> Literal["tls1.2", "tls1.3"]:
        """The lowest version that is really accepted."""
        return "tls1.3" if self.minimumtls == "tls1.3" else "tls1.2"


class Prometheus(Section):
    """Metrics on the debug address."""

    enabled: Flag = False
    """Serves metrics there."""
    path: Text = "/metrics"
    """Path of the metrics."""


class Debug(Section):
    """A second address for operators: health, metrics. Keep it away from clients."""

    addr: Annotated[Text, AfterValidator(_check_tcp_address)] = ""
    """`host:port` of the debug server; empty: no debug server."""
    prometheus: Prometheus = Prometheus()
    """Metrics on the debug address."""

    @property
    def address(self) -> Address | None:
        """Where the debug server listens, if anywhere."""
        return parse_address(self.addr) if self.addr else None


class Http2(Section):
    """HTTP/2 over TLS."""

    disabled: Flag | None = None
    """`false` offers HTTP/2 beside HTTP/1.1. When not set, HTTP/1.1 only: it is faster for large bodies."""

    @property
    def enabled(self) -> bool:
        """Whether HTTP/2 is offered to clients over TLS."""
        return self.disabled is False


class H2c(Section):
    """HTTP/2 without TLS."""

    enabled: Flag = False
    """Asks for HTTP/2 in clear. Not supported: a warning says so, and clients get HTTP/1.1."""


class Limits(Section):
    """What one client may ask of the server (our own section)."""

    # The bounds keep these below the server's own limits, where clients would get an answer without an explanation.
    headersize: Count = Field(default=65536, ge=1024, le=98304)
    """Most bytes of a request's header fields, up to 98304; more is answered with 431."""
    headercount: Count = Field(default=90, ge=10, le=90)
    """Most header fields of a request, up to 90; more is answered with 431."""
    urilength: Count = Field(default=8192, ge=512, le=16384)
    """Most bytes of a request's path and query, up to 16384; more is answered with 414."""
    bodyrate: Count = Field(default=1024, ge=0)
    """Least bytes per second of an upload, measured over `bodytimeout`; slower ones are cut. 0: no limit."""
    bodytimeout: Duration = Field(default=30.0, gt=0)
    """Time over which `bodyrate` is measured, and longest silence within an upload."""
    requests: Count = Field(default=1000, ge=1)
    """Most requests at a time in one worker; further ones get 503 with Retry-After."""


class Http(Section):
    """Where the registry listens and how it answers."""

    net: Net = ""
    """`tcp` (the default) or `unix`."""
    addr: Text = ""
    """`host:port`, or the path of a socket when `net` is `unix`. Default `:5000`; without a file `127.0.0.1:5000`."""
    host: Host = ""
    """URL under which clients reach the registry. Without it, URLs follow the request."""
    prefix: Prefix = ""
    """Path before `/v2/`, such as `/my/registry/`."""
    secret: Secret = NO_SECRET
    """Key with which registry:2 signs upload states. Accepted, and not needed: uploads are in the database."""
    relativeurls: Flag = False
    """Answers with paths and not with URLs in Location headers."""
    draintimeout: Duration = 0.0
    """Time that running requests get when the registry stops. 0s means 30s."""
    draindelay: Duration = 0.0
    """Time for which a registry that is told to stop still takes requests, while `/readyz` says 503. Our own key."""
    tls: Tls = Tls()
    """Encryption by the registry itself."""
    headers: Headers = Field(default_factory=dict)
    """Header fields added to every answer, each with a list of values."""
    debug: Debug = Debug()
    """A second address for operators."""
    http2: Http2 = Http2()
    """HTTP/2 over TLS."""
    h2c: H2c = H2c()
    """HTTP/2 without TLS."""
    trustedproxies: tuple[Network, ...] = ()
    """Addresses or networks of proxies whose Forwarded and X-Forwarded headers count. Default: loopback; with a
    file, or at an address that others reach, also private networks, but not for the client's address. Our own key."""
    limits: Limits = Limits()
    """What one client may ask of the server. Our own section."""

    usual_drain: ClassVar[float] = 30.0

    @field_validator("addr")
    @classmethod
    def _check_address(cls, addr: str, info: ValidationInfo) -> str:
        if info.data.get("net") != "unix":
            return _check_tcp_address(addr)
        return addr

    @property
    def address(self) -> Address:
        """Where the registry listens."""
        return Address(socket=Path(self.addr)) if self.net == "unix" else parse_address(self.addr or ":0")

    @property
    def certified_hosts(self) -> tuple[str, ...]:
        """Names that a certificate is got for, where the registry gets it by itself."""
        own = urlsplit(self.host).hostname if self.host else None
        return self.tls.letsencrypt.hosts or ((own,) if own else ())

    @property
    def drain(self) -> float:
        """Seconds that running requests get when the registry stops."""
        return self.draintimeout or self.usual_drain

    @property
    def proxies(self) -> tuple[IpNetwork, ...]:
        """`trustedproxies` as networks."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.trustedproxies)
