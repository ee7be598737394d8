"""The checks of the section `health`: a file that must not exist, addresses that must answer, storage that must work.

They are registry:2's: `file` fails while the file exists, so that an operator can take a registry out of service by
creating it; a check counts as failed after `threshold` failures in a row.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from entrepot.serving.asked_uri import AskedUri
from entrepot.serving.check_kind import CheckKind

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
    """Fails when a HEAD request is not answered with the expected status. Redirects are not followed.

    What it finds wrong names the address without its credentials.
    """

    uri: str = field(repr=False)
    status: int = 200
    timeout: float = 5.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def probe(self) -> str | None:
        """Say what is wrong."""
        import http.client  # noqa: PLC0415 - few have such a check, and the supervisor would keep eight megabytes

        asked = AskedUri.parse(self.uri)
        if asked is None:
            return "the URI is not an http or https address"
        try:
            status = self._ask(asked)
        except OSError as error:
            return f"{asked.shown} does not answer: {error}"
        except (http.client.HTTPException, ValueError) as error:  # its text may quote the whole address
            return f"{asked.shown} cannot be asked: {type(error).__name__}"
        return None if status == self.status else f"{asked.shown} answered {status}, expected {self.status}"

    def _ask(self, asked: AskedUri) -> int:
        import urllib.error  # noqa: PLC0415 - as above
        import urllib.request  # noqa: PLC0415 - as above

        class NoRedirect(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: object, **__: object) -> None:
                return None

        headers = {} if asked.authorization is None else {"Authorization": asked.authorization}
        headers.update(self.headers)
        request = urllib.request.Request(asked.plain, method="HEAD", headers=headers)  # noqa: S310 - checked
        opener = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self.timeout) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code


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
    kind: CheckKind
    probe: Probe
    interval: float = 10.0
    threshold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """All checks."""

    checks: tuple[Check, ...] = ()
