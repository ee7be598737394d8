"""The management API of a server, over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from entrepot.cli.management.api import Api, Into, Reply
from entrepot.cli.program.logins import Login, NotSignedIn
from entrepot.outbound.client import Client
from entrepot.outbound.settings import OutboundSettings

_LIMIT = 64 * 1024 * 1024
_SECONDS = 60.0


def with_login(login: Login) -> Api:
    """Speak to a server as whoever signed in."""
    return _api(login, {"authorization": f"Bearer {login.key}"})


def with_password(login: Login, password: str) -> Api:
    """Speak to a server with the name of a login that has no key yet, and a password."""
    encoded = base64.b64encode(f"{login.user}:{password}".encode()).decode()
    return _api(login, {"authorization": f"Basic {encoded}"})


def _api(login: Login, credentials: Mapping[str, str]) -> Api:
    server = login.server
    # The user named this host: it may be in a private network, and speak plain HTTP if its URL says so.
    try:
        settings = OutboundSettings.of([urlsplit(server).hostname or ""])
    except ValueError as error:
        raise NotSignedIn(f"{server!r} is no server's address: {error}") from None
    client = Client(replace(settings, certificate=login.certificate, key=login.certificate_key))

    async def send(method: str, path: str, body: bytes | None) -> Reply:
        headers = {**credentials, "accept": "application/json", "content-type": "application/json"}
        answer = await client.request(
            method, f"{server}{path}", headers=headers, body=body, limit=_LIMIT, timeout=_SECONDS
        )
        return Reply(answer.status, answer.headers, answer.body)

    async def download(path: str, into: Into) -> Reply:
        answer = await client.download(f"{server}{path}", into, headers=credentials)
        return Reply(answer.status, answer.headers, answer.body)

    return Api(send, download)
