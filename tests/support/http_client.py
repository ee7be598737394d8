"""A plain HTTP client for a real registry: what a test must see of a connection, nothing hidden."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.support.server import Server

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)

    @property
    def location(self) -> str:
        """Path and query of the Location header."""
        parts = urllib.parse.urlsplit(self.headers["location"])
        return parts.path + (f"?{parts.query}" if parts.query else "")


@dataclass(kw_only=True)
class Client:
    """Sends requests, each on a connection of its own."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    timeout: float = 30.0

    @classmethod
    def of(cls, server: Server, *, tls: ssl.SSLContext | None = None, signed_in: bool = True) -> Client:
        """Give a client of a server, as its admin where it has one."""
        headers = {"Authorization": server.authorization} if signed_in and server.admin_password else {}
        return cls(url=server.url, headers=headers, tls=tls)

    def connect(self) -> socket.socket:
        """Open a connection, with TLS where the address says so."""
        scheme, _, rest = self.url.partition(":")
        if scheme == "unix":
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(self.timeout)
            plain.connect(rest)
            return plain
        parts = urllib.parse.urlsplit(self.url)
        plain = socket.create_connection((parts.hostname, parts.port), self.timeout)
        if scheme == "http":
            return plain
        try:
            return (self.tls or unverified()).wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise

    def open(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Exchange:
        """Send a request; the answer is still to be read. A body may be an iterable, sent in chunks as it comes."""
        connection = http.client.HTTPConnection("localhost", timeout=self.timeout)
        connection.sock = self.connect()
        chunked = body is not None and not isinstance(body, bytes)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})}, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            pass  # an early answer ended the sending; it is there to be read
        except BaseException:
            connection.close()
            raise
        return Exchange(connection)

    def request(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and read its answer."""
        return self.open(method, path, body, headers).read()

    def push_blob(self, repository: str, data: bytes) -> str:
        """Push a blob; returns its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        started = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        assert started.status == 202, started
        location = started.location
        joint = "&" if "?" in location else "?"
        done = self.request("PUT", f"{location}{joint}digest={digest}", data)
        assert done.status == 201, done
        return digest

    def push_image(self, repository: str, tag: str, layer: bytes = b"layer") -> str:
        """Push an image of one layer; returns the digest of its manifest."""
        config = self.push_blob(repository, b"{}")
        blob = self.push_blob(repository, layer)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob, "size": len(layer)}],
        }
        put = self.request(
            "PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), {"Content-Type": OCI_MANIFEST}
        )
        assert put.status == 201, put
        return put.headers["docker-content-digest"]


@dataclass
class Exchange:
    """A request that was sent."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse | None = None

    def pieces(self, size: int = 65536) -> Iterable[bytes]:
        """Read the answer's body piece by piece; raises when it ends early."""
        try:
            self.response = self.connection.getresponse()
            while piece := self.response.read(size):
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Leave, whatever is still to come."""
        if self.response is not None:
            self.response.close()
        self.connection.close()

    def read(self) -> Answer:
        """Read the whole answer."""
        body = b"".join(self.pieces())
        assert self.response is not None
        headers = {name.lower(): value for name, value in self.response.getheaders()}
        return Answer(status=self.response.status, headers=headers, body=body)


def unverified() -> ssl.SSLContext:
    """Give a TLS context that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certificate_of(client: Client) -> bytes:
    """Give the certificate that a new connection is shown, in DER form."""
    with client.connect() as connection:
        assert isinstance(connection, ssl.SSLSocket)
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def eventually(check: Callable[[], bool], timeout: float = 20.0, what: str = "") -> None:
    """Wait until something is true; a refused connection, or a process that is not there, counts as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        with suppress(OSError, http.client.HTTPException, LookupError, psutil.Error):
            if check():
                return
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.05)


__all__ = ["OCI_MANIFEST", "Answer", "Client", "Exchange", "certificate_of", "eventually", "unverified"]
