"""A request, seen over an ASGI scope. Only what a handler asks for is decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from entrepot.access.limits.rates import Kind
from entrepot.oci.errors import SizeInvalid
from entrepot.web.body import BodyLimits, Receive, RequestBody

Scope = MutableMapping[str, Any]
Header = tuple[bytes, bytes]

_DEFAULT_BODY_LIMITS = BodyLimits()


class Asked(NamedTuple):
    """A request whose answer may be given again: its name, and what was committed when it came."""

    name: bytes
    moment: bytes | None  #: None where the database does not say without being asked


class Repeatable(NamedTuple):
    """What an answer rests on beside the request, what is committed, and the admission; see `web.response_cache`."""

    manifest_id: int = 0  #: the manifest that each repetition is counted as a pull of; 0 for none
    file: str = ""  #: the file that must be there, with `size` bytes; empty for none
    size: int = 0
    #: Asks whether what the answer says is still so, where `Asked.moment` does not tell.
    is_still: Callable[[], Awaitable[bool]] | None = None


class Request:
    """One HTTP request, and what is learnt about it on the way through the application.

    The attributes after `scope` are filled by the middleware, the router and the access check; the access log and
    the metrics read them when the exchange is over.
    """

    __slots__ = (
        "_body_limits",
        "_query",
        "_receive",
        "_request_body",
        "admitted_until",
        "allow",
        "asked",
        "bytes_elsewhere",
        "bytes_out",
        "client",
        "extra_headers",
        "failure",
        "id",
        "method",
        "name",
        "paid",
        "payers",
        "raw_path",
        "repeatable",
        "route",
        "scope",
        "started",
        "status",
        "target",
        "user",
    )

    def __init__(self, scope: Scope, receive: Receive, body_limits: BodyLimits = _DEFAULT_BODY_LIMITS) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self._receive = receive
        self._body_limits = body_limits
        self._request_body: RequestBody | None = None
        self._query: dict[str, list[str]] | None = None
        self.id = ""  #: request id, for the log and the answer
        self.client = client_host(scope)  #: address of the client, behind trusted proxies the one they name
        self.user = ""  #: name of the principal, once known
        self.admitted_until = 0.0  #: until when (monotonic) this may be believed of the same request; 0 for not at all
        self.asked: Asked | None = None  #: what names it, where its answer may be given again
        self.repeatable: Repeatable | None = None  #: set where the same request may get the same answer again
        self.failure: Exception | None = None  #: what went wrong before it was looked at
        self.route = "unknown"  #: the route's label in logs and metrics
        self.allow = b""  #: the methods that the route has, as the Allow header lists them
        self.name = ""  #: repository name as written in the path
        self.target = ""  #: tag, digest or upload id as written in the path
        self.payers: tuple[tuple[Kind, str], ...] = ()  #: the limits that this request's bytes count against
        self.paid = 0  #: how many of its bytes have been counted there
        self.extra_headers: tuple[Header, ...] = ()  #: headers for whatever answer this request gets
        self.started = False  #: whether the answer's head has been sent
        self.status = 0  #: status of the answer, once sent
        self.bytes_out = 0  #: body bytes sent (for whole files: announced)
        self.bytes_elsewhere = 0  #: bytes for which the client was sent elsewhere: they count as if we had sent them

    def header(self, name: bytes) -> str | None:
        """Return the first header with this lower-case name."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    def header_values(self, name: bytes) -> list[str]:
        """Return every header with this lower-case name, in the order sent."""
        return [str(value, "latin-1") for key, value in self.scope["headers"] if key == name]

    def query(self, name: str) -> str | None:
        """Return the first value of a query parameter; the empty text when it is given without a value."""
        values = self.query_values(name)
        return values[0] if values else None

    def query_values(self, name: str) -> list[str]:
        """Return every value of a query parameter."""
        if not self.scope["query_string"]:
            return []
        if self._query is None:
            self._query = parse_qs(str(self.scope["query_string"], "latin-1"), keep_blank_values=True)
        return self._query.get(name, [])

    @property
    def body(self) -> RequestBody:
        """The request's body.

        Raises:
            SizeInvalid: The headers do not say plainly where the body ends.
        """
        if self._request_body is None:
            length, expected = body_framing(self.scope["headers"], self.scope.get("http_version", "1.1"))
            self._request_body = RequestBody(self._receive, length, self._body_limits, expected=expected)
        return self._request_body

    @property
    def bytes_in(self) -> int:
        """Body bytes received so far."""
        return self._request_body.received if self._request_body else 0

    @property
    def receive(self) -> Receive:
        """What the server gives to learn more of the request, for an application within ours."""
        return self._receive

    @property
    def can_send_files(self) -> bool:
        """Whether the server sends whole files by itself (`http.response.pathsend`)."""
        return "http.response.pathsend" in self.scope.get("extensions", ())

    @property
    def can_send_parts(self) -> bool:
        """Whether the server sends parts of open files by itself (`http.response.zerocopysend`)."""
        return "http.response.zerocopysend" in self.scope.get("extensions", ())

    def add_header(self, name: bytes, value: bytes) -> None:
        """Add a header to whatever answer this request gets."""
        self.extra_headers = (*self.extra_headers, (name, value))

    async def wait_until_gone(self) -> None:
        """Return when the client has closed the connection; body bytes that still arrive are dropped."""
        while (await self._receive())["type"] == "http.request":
            pass


def client_host(scope: Scope) -> str:
    """Return the address of the connection's other end; empty for a Unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


def body_framing(headers: Iterable[Header], http_version: str) -> tuple[int | None, bool]:
    """Return the announced length and whether a body is to be expected (RFC 9112 section 6).

    The server accepts headers that different parties read differently, which is how requests are smuggled past a
    proxy. So they are refused here, whatever the server made of them.
    """
    lengths: list[bytes] = []
    encodings: list[bytes] = []
    for key, value in headers:
        if key == b"content-length":
            lengths.append(value)
        elif key == b"transfer-encoding":
            encodings.append(value)
    if encodings:
        _check_encodings(encodings, lengths)
        return None, True
    if lengths:
        length = _parse_length(lengths)
        return length, length > 0
    # Without either header, an HTTP/1 request has no body; HTTP/2 marks the end of a body by its framing alone.
    return None, not http_version.startswith("1")


def _check_encodings(encodings: list[bytes], lengths: list[bytes]) -> None:
    if lengths:
        raise SizeInvalid("A request must not have both Content-Length and Transfer-Encoding; send one of them.")
    if len(encodings) != 1 or encodings[0].strip().lower() != b"chunked":
        raise SizeInvalid("The only Transfer-Encoding accepted is chunked, given once.")


def _parse_length(lengths: list[bytes]) -> int:
    text = lengths[0]
    if len(lengths) != 1 or not text.isdigit() or len(text) > 19:  # noqa: PLR2004 - digits of the largest file size
        raise SizeInvalid("Content-Length must be given once, as a plain decimal number.")
    return int(text)
