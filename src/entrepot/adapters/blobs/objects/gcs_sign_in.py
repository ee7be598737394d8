"""How the registry signs in to Google Cloud Storage: the tokens of its requests, and signatures that let clients in.

As in registry:2: a service account's key in a file or in the configuration; else Google's default credentials, which
are those of the environment's file (also of workload identity federation) or of the machine's metadata server. Google's
own library does the signing in; here is what it asks with, and who waits for whom.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.auth
import google.auth.credentials
import google.auth.exceptions
import google.auth.iam
import google.auth.transport
from google.oauth2 import service_account
from multidict import CIMultiDict

from entrepot.adapters.blobs.objects.cloud import CloudBusy
from entrepot.config.schema.cloud_storage import Gcs

_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write", "https://www.googleapis.com/auth/iam")
#: Where the library would look for the project of an identity, which a bucket does without.
_PROJECTS = "https://cloudresourcemanager.googleapis.com/"
_SECONDS = 10.0
_MOST = 1 << 20


class Asking(google.auth.transport.Request):
    """What Google's library asks with, in threads: Python's own client, so that nothing more has to be installed."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_more: Any,
    ) -> google.auth.transport.Response:
        """Send a request; an answer of any status is an answer."""
        if url.startswith(_PROJECTS):
            return _Answer(404, {}, b"{}")
        asked = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310 - from credentials
        try:
            with urllib.request.urlopen(asked, timeout=timeout or _SECONDS) as answer:  # noqa: S310 - see above
                return _Answer(answer.status, CIMultiDict(answer.headers), answer.read(_MOST))
        except urllib.error.HTTPError as error:
            with error:
                return _Answer(error.code, CIMultiDict(error.headers), error.read(_MOST))
        except (OSError, ValueError) as error:
            raise google.auth.exceptions.TransportError(str(error)) from error  # type: ignore[no-untyped-call]


class _Answer(google.auth.transport.Response):
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._status, self._headers, self._data = status, headers, data

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @property
    def data(self) -> bytes:
        return self._data


def credentials_of(section: Gcs) -> google.auth.credentials.Credentials | None:
    """Find what a configuration names; blocks, since a metadata server may be asked.

    Raises:
        ValueError: There are none, or what is named is no key of a service account.
    """
    key: Mapping[str, Any] = section.credentials
    if section.keyfile:
        try:
            key = json.loads(Path(section.keyfile).read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"storage.gcs.keyfile: cannot be read as JSON: {error}") from None
    try:
        if key:
            account: google.auth.credentials.Credentials
            account = service_account.Credentials.from_service_account_info(key, scopes=_SCOPES)  # type: ignore[no-untyped-call]
            return account
        found, _project = google.auth.default(scopes=_SCOPES, request=Asking())
    except (google.auth.exceptions.GoogleAuthError, ValueError) as error:
        raise ValueError(f"no credentials for Google Cloud Storage: {error}") from None
    return found


@dataclass(slots=True)
class Tokens:
    """The token of requests, renewed by one task for all that wait, before it expires."""

    credentials: google.auth.credentials.Credentials | None  #: None for a stand-in that lets everybody in
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def headers(self, *, refused: str | None = None) -> dict[str, str]:
        """Give the fields that let a request in.

        Args:
            refused: The value that the store has just refused, so that a new one is made.

        Raises:
            CloudBusy: Whoever gives tokens does not.
        """
        if self.credentials is None:
            return {}
        async with self._alone:
            if not self.credentials.valid or refused == self._value():
                try:
                    await asyncio.to_thread(self.credentials.refresh, Asking())
                except google.auth.exceptions.GoogleAuthError as error:
                    raise CloudBusy(f"no token for Google Cloud Storage: {error}") from error
        return {"Authorization": self._value()}

    def _value(self) -> str:
        assert self.credentials is not None
        return f"Bearer {self.credentials.token}"
