"""The checks of the section `health`: a file that must not exist, addresses that must answer, storage that must work.

They are registry:2's: `file` fails while the file exists, so that an operator can take a registry out of service by
creating it; a check counts as failed after `threshold` failures in a row.
"""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Probe = Callable[[], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """Fails while a file exists."""

    file: Path

    def probe(self) -> str | None:
        """Say what is wrong."""
        return "file exists" if self.file.exists() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpCheck:
    """Fails when nobody accepts connections."""

    host: str
    port: int
    timeout: float = 5.0

    def probe(self) -> str | None:
        """Say what is wrong."""
        try:
            socket.create_connection((self.host, self.port), self.timeout).close()
        except OSError as error:
            return f"connection to {self.host}:{self.port} failed: {error}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """Fails when a HEAD request is not answered with the expected status. Redirects are not followed."""

    uri: str
    status: int = 200
    timeout: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict)

    def probe(self) -> str | None:
        """Say what is wrong."""
        if urllib.parse.urlsplit(self.uri).scheme not in {"http", "https"}:
            return f"{self.uri} is not an http or https address"
        request = urllib.request.Request(self.uri, method="HEAD", headers=dict(self.headers))  # noqa: S310 - checked
        try:
            with _opener().open(request, timeout=self.timeout) as response:
                status = response.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError as error:
            return f"{self.uri} does not answer: {error}"
        return None if status == self.status else f"{self.uri} answered {status}, expected {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageCheck:
    """Fails when the storage's root folder cannot be listed or written to."""

    folder: Path

    def probe(self) -> str | None:
        """Say what is wrong."""
        try:
            with os.scandir(self.folder) as entries:
                next(entries, None)
        except OSError as error:
            return f"{self.folder} cannot be read: {error.strerror}"
        return None if os.access(self.folder, os.W_OK) else f"{self.folder} cannot be written to"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A probe, how often it is run, and how many failures in a row count."""

    name: str
    probe: Probe
    interval: float = 10.0
    threshold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """All checks."""

    checks: tuple[Check, ...] = ()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
