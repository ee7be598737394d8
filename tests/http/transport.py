"""An HTTP client that calls an ASGI application in its own process, and checks that it keeps the rules of ASGI.

It behaves as the server in production does where that matters: bodies arrive in pieces, whole files are sent from
their path, a client that leaves is seen by `receive()` alone, and `send()` to a client that left does not raise.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support.browser_policy import breaches

Message = MutableMapping[str, Any]
Body = bytes | Iterable[bytes] | AsyncIterable[bytes]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]


class Leave(Exception):
    """Raised by a body's iterator: the client closes the connection instead of sending more."""


@dataclass
class Answer:
    """What the application sent."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False  #: the last piece of the body was sent
    pieces: int = 0  #: messages that the body came in
    files: list[str] = field(default_factory=list)  #: paths the application asked the server to send
    parts: list[tuple[int, int]] = field(default_factory=list)  #: offset and length of parts of files, likewise

    def __getitem__(self, name: str) -> str:
        """Return a header that must be there once."""
        values = self.values(name)
        assert len(values) == 1, f"{name}: {values} in answer {self.status} {self.headers}"
        return values[0]

    def __contains__(self, name: str) -> bool:
        return bool(self.values(name))

    def values(self, name: str) -> list[str]:
        """Return every header of this name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        """Return the body as parsed JSON."""
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        """The codes of an OCI error body."""
        return [error["code"] for error in self.json()["errors"]]


class _Exchange:
    """One request and its answer, as the two ASGI callables see it."""

    def __init__(self, method: str, pieces: AsyncIterable[bytes], leave_after: int | None) -> None:
        self.answer = Answer()
        self._method = method
        self._pieces = aiter(pieces)
        self._body_sent = False
        self._leave_after = leave_after
        self._gone = asyncio.Event()

    async def receive(self) -> Message:
        if self._gone.is_set():
            return {"type": "http.disconnect"}
        if self._body_sent:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            self._body_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        except Leave:
            self._gone.set()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self._start(message)
        elif message["type"] == "http.response.pathsend":
            self._send_file(message["path"])
        elif message["type"] == "http.response.zerocopysend":
            await self._send_part(message["file"], message["offset"], message["count"])
        else:
            assert message["type"] == "http.response.body", message
            self._send_body(message.get("body", b""), more=message.get("more_body", False))

    def _start(self, message: Message) -> None:
        assert self.answer.status == 0, "the head was sent twice"
        for key, value in message["headers"]:
            assert isinstance(key, bytes), key
            assert isinstance(value, bytes), value
            assert key == key.lower(), key
            assert b"\n" not in value, value
            assert b"\r" not in value, value
        self.answer.status = message["status"]
        self.answer.headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in message["headers"]]

    def _send_file(self, path: str) -> None:
        self.answer.files.append(path)
        self._send_body(Path(path).read_bytes(), more=False)

    async def _send_part(self, file: IO[bytes], offset: int, count: int) -> None:
        self.answer.parts.append((offset, count))
        self._send_body(os.pread(file.fileno(), count, offset), more=False)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        assert self.answer.status, "a body before its head"
        assert not self.answer.complete, "a body after its end"
        self.answer.body += body
        self.answer.pieces += 1
        if self._leave_after is not None and len(self.answer.body) >= self._leave_after:
            self._gone.set()
        elif not more:
            self.answer.complete = True
            self._check_length()

    def _check_length(self) -> None:
        lengths = self.answer.values("content-length")
        if self.answer.pieces > 1 and not lengths:
            return  # made while it is sent: the server ends it by the framing of chunks
        if self._method == "HEAD" or self.answer.status in (204, 304):
            assert self.answer.body == b"", "a body where HTTP allows none"
        else:
            assert lengths == [str(len(self.answer.body))], (lengths, len(self.answer.body), self.answer.status)


class AsgiClient:
    """Sends requests to an application; `headers` go with each of them."""

    def __init__(
        self,
        app: Any,
        *,
        headers: Headers = (),
        host: str = "registry.test",
        scheme: str = "http",
        address: str = "192.0.2.7",
        files: bool = True,
        parts: bool = False,
    ) -> None:
        self._app = app
        self._headers = _pairs(headers)
        self._host = host
        self._scheme = scheme
        self._address = address
        self._extensions: dict[str, object] = {"http.response.pathsend": {}} if files else {}
        if parts:
            self._extensions["http.response.zerocopysend"] = {}

    def with_headers(self, **headers: str) -> AsgiClient:
        """Return a client that sends further headers; `_` in a name stands for `-`."""
        pairs = [*self._headers, *((name.replace("_", "-"), value) for name, value in headers.items())]
        copy = AsgiClient(self._app, headers=pairs, host=self._host, scheme=self._scheme, address=self._address)
        copy._extensions = self._extensions
        return copy

    async def get(self, target: str, **options: Any) -> Answer:
        """Send GET."""
        return await self.request("GET", target, **options)

    async def head(self, target: str, **options: Any) -> Answer:
        """Send HEAD."""
        return await self.request("HEAD", target, **options)

    async def post(self, target: str, **options: Any) -> Answer:
        """Send POST."""
        return await self.request("POST", target, **options)

    async def put(self, target: str, **options: Any) -> Answer:
        """Send PUT."""
        return await self.request("PUT", target, **options)

    async def patch(self, target: str, **options: Any) -> Answer:
        """Send PATCH."""
        return await self.request("PATCH", target, **options)

    async def delete(self, target: str, **options: Any) -> Answer:
        """Send DELETE."""
        return await self.request("DELETE", target, **options)

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Headers = (),
        body: Body | None = None,
        leave_after: int | None = None,
    ) -> Answer:
        """Send one request and return its answer.

        Args:
            method: The method as sent.
            target: Path and query, encoded as they are to be sent, or the absolute URL of this host.
            headers: Further headers. `Content-Length` is added for bodies given as bytes, `Transfer-Encoding` for
                others, unless one of them is there.
            body: The body; an iterator may raise Leave.
            leave_after: Close the connection once this many bytes of the answer's body have arrived.
        """
        sent = [*self._headers, *_pairs(headers)]
        sent += _framing(sent, body, method)
        exchange = _Exchange(method, _pieces(body), leave_after)
        await self._app(self._scope(method, target, sent), exchange.receive, exchange.send)
        assert exchange.answer.status or exchange._gone.is_set(), "no answer at all"
        self._hold_to_policy(exchange.answer, target)
        return exchange.answer

    def _hold_to_policy(self, answer: Answer, target: str) -> None:
        path = target.removeprefix(f"{self._scheme}://{self._host}").partition("?")[0]
        whole_host = ":" not in self._host
        broken = breaches(answer, path, https=self._scheme == "https", whole_host=whole_host)
        assert not answer.status or not broken, (path, answer.status, broken)

    def _scope(self, method: str, target: str, headers: list[tuple[str, str]]) -> Message:
        origin = f"{self._scheme}://{self._host}"
        path, _, query = target.removeprefix(origin).partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": self._scheme,
            "path": path,
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(b"host", self._host.encode())]
            + [(key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in headers],
            "client": (self._address, "40000"),
            "server": (self._host, "80"),
            "extensions": self._extensions,
            "state": {},
        }


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def _framing(headers: list[tuple[str, str]], body: Body | None, method: str) -> list[tuple[str, str]]:
    names = {name.lower() for name, _ in headers}
    if names & {"content-length", "transfer-encoding"}:
        return []
    if isinstance(body, bytes):
        return [("Content-Length", str(len(body)))]
    if body is not None:
        return [("Transfer-Encoding", "chunked")]
    return [("Content-Length", "0")] if method in ("POST", "PUT", "PATCH") else []


async def _pieces(body: Body | None) -> AsyncIterable[bytes]:  # type: ignore[misc] # an async generator
    if isinstance(body, bytes):
        if body:
            yield body
    elif isinstance(body, AsyncIterable):
        async for piece in body:
            yield piece
    else:
        for piece in body or ():
            yield piece
