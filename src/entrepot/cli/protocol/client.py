"""Asking a registry, as whoever was named: the challenge is answered once for each repository and kind of request."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from entrepot.outbound.client import Client
from entrepot.outbound.response import Response
from entrepot.outbound.settings import OutboundSettings

_PARAMETER: Final = re.compile(r'([a-z_]+)="([^"]*)"', re.IGNORECASE)
_REPOSITORY: Final = re.compile(r"/v2/(.+?)/(?:blobs|manifests|tags|referrers)/")
_LIMIT: Final = 8 << 20
_SECONDS: Final = 30.0
#: The second time for what the first credential does not cover, as a mount's source.
_CHALLENGES: Final = 2
_UNAUTHORIZED: Final = 401
_OK: Final = 200


class Failed(Exception):
    """The registry does not do what the specification asks for; the text says what it did."""


class NotTried(Exception):
    """The case says nothing about this registry; the text says why."""


@dataclass(kw_only=True)
class Probe:
    """A registry that is asked, the scratch repository there, and what has been left in it."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    scratch: str = ""  #: empty where nothing may be written
    uploads: list[str] = field(default_factory=list)  #: Locations of sessions that may be open
    blobs: list[tuple[str, str]] = field(default_factory=list)  #: repositories and digests
    manifests: list[tuple[str, str]] = field(default_factory=list)  #: repositories and digests, in the order pushed

    def __post_init__(self) -> None:
        """Get ready to ask; the person named this host, so it may be in a private network and speak plain HTTP."""
        self.url = self.url.rstrip("/").removesuffix("/v2")
        self._client = Client(OutboundSettings.of([urlsplit(self.url).hostname or ""]))
        self._credentials: dict[tuple[str, str], str] = {}

    async def ask(
        self,
        method: str,
        target: str,
        *expected: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        """Send a request to a path, or to what a Location says, and return the answer.

        Raises:
            Failed: The answer has none of the expected statuses, if there are any.
            NotTried: Whoever asks may not do this.
        """
        where = urljoin(self.url + "/", target)
        known = _REPOSITORY.search(urlsplit(where).path)
        key = (method, known[1] if known else "")
        answer = await self._send(method, where, headers, body, self._credentials.get(key))
        for _ in range(_CHALLENGES):
            if answer.status != _UNAUTHORIZED or not (challenge := answer.headers.get("www-authenticate")):
                break
            self._credentials[key] = await self._credential(challenge)
            answer = await self._send(method, where, headers, body, self._credentials[key])
        if expected and answer.status not in expected:
            if answer.status in (401, 403) and not {401, 403}.intersection(expected):
                raise NotTried(f"{method} {_short(target)} is not allowed to {self.user or 'strangers'}")
            wanted = " or ".join(map(str, expected))
            raise Failed(f"{method} {_short(target)}: {answer.status} in place of {wanted}{_code(answer)}")
        return answer

    async def _send(
        self, method: str, where: str, headers: Mapping[str, str] | None, body: bytes | None, credential: str | None
    ) -> Response:
        sent = {**(headers or {}), **({"authorization": credential} if credential else {})}
        return await self._client.request(method, where, headers=sent, body=body, limit=_LIMIT, timeout=_SECONDS)

    async def _credential(self, challenge: str) -> str:
        """Answer a challenge (Docker token specification); without a name, as a stranger."""
        basic = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode() if self.user else ""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() != "bearer":
            return basic
        told = {name.lower(): value for name, value in _PARAMETER.findall(rest)}
        asked = [("service", told.get("service", ""))]
        asked += [("scope", scope) for scope in told.get("scope", "").split(" ") if scope]
        realm = f"{told.get('realm', '')}?{urlencode(asked)}"
        headers = {"authorization": basic} if basic else {}
        answer = await self._client.request("GET", realm, headers=headers, limit=_LIMIT, timeout=_SECONDS)
        if answer.status != _OK:
            raise NotTried(f"the token service answers {answer.status} to {self.user or 'strangers'}")
        document = json_of(answer)
        return f"Bearer {document.get('token') or document.get('access_token', '')}"

    # What several cases need.

    async def start_upload(self, query: str = "") -> str:
        """Open a session in the scratch repository and return its Location (end-4a)."""
        answer = await self.ask("POST", f"/v2/{self.scratch}/blobs/uploads/{query}", 202)
        self.uploads.append(header(answer, "location"))
        return self.uploads[-1]

    async def push_blob(self, content: bytes) -> str:
        """Push a blob to the scratch repository and return its digest."""
        digest = digest_of(content)
        location = await self.start_upload()
        await self.finish(location, digest, content)
        return digest

    async def finish(self, location: str, digest: str, content: bytes = b"") -> Response:
        """Send the last bytes of a blob (end-6)."""
        joint = "&" if "?" in location else "?"
        answer = await self.ask("PUT", f"{location}{joint}{urlencode({'digest': digest})}", 201, body=content)
        self.blobs.append((self.scratch, digest))
        return answer

    async def push_manifest(self, document: Mapping[str, Any], reference: str = "") -> tuple[Response, str]:
        """Push a manifest to the scratch repository by tag, or by its digest, and return answer and digest."""
        body = raw_of(document)
        digest = digest_of(body)
        path = f"/v2/{self.scratch}/manifests/{reference or digest}"
        answer = await self.ask("PUT", path, 201, headers={"content-type": document["mediaType"]}, body=body)
        self.manifests.append((self.scratch, digest))
        return answer, digest

    async def clean_up(self) -> list[str]:
        """Take away all that was put there; return what stays, because the registry does not let it go."""
        stays = []
        for location in self.uploads:
            await self.ask("DELETE", location)
        for kind, things in (("manifests", self.manifests[::-1]), ("blobs", self.blobs)):
            for name, digest in dict.fromkeys(things):
                answer = await self.ask("DELETE", f"/v2/{name}/{kind}/{digest}")
                if answer.status not in (202, 404):
                    stays.append(f"{name}@{digest}")
        return stays


def header(answer: Response, name: str) -> str:
    """Return a header that has to be there."""
    if not (value := answer.headers.get(name)):
        raise Failed(f"the answer {answer.status} has no {name.title()}")
    return value


def json_of(answer: Response) -> Any:
    """Read a body that has to be a JSON object."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Failed(f"the answer {answer.status} is no JSON object")
    return document


def hold(condition: object, text: str) -> None:
    """Hold the registry to something."""
    if not condition:
        raise Failed(text)


def digest_of(content: bytes) -> str:
    """Return the digest of content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def raw_of(document: Mapping[str, Any]) -> bytes:
    """Write a manifest as it is pushed."""
    return json.dumps(document).encode()


def fresh(size: int = 1024) -> bytes:
    """Return bytes that no registry has."""
    return secrets.token_bytes(size)


def _short(target: str) -> str:
    path = urlsplit(target).path
    return re.sub(r"([0-9a-f]{8})[0-9a-f]{56}", r"\1…", path)


def _code(answer: Response) -> str:
    try:
        return f" ({json.loads(answer.body)['errors'][0]['code']})"
    except (ValueError, LookupError, TypeError):
        return ""
