"""The management API as commands use it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from entrepot.oci.errors import RegistryError

BASE = "/api/v2.0"
_PAGE = 100
_REFUSED = 400


class ApiRefused(RegistryError):
    """The registry refused a request; the message is its own."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]  #: by lower-case name
    body: bytes = field(repr=False, default=b"")

    def json(self) -> Any:
        """Return the body as JSON; None when there is none.

        Raises:
            ApiRefused: It is something else: whoever answered is no Entrepot.
        """
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            raise ApiRefused(_not_ours(self.status)) from None


#: Sends a request: method, path with query, body.
Send = Callable[[str, str, bytes | None], Awaitable[Reply]]
Into = Callable[[bytes], None]
#: Asks for something of any length, by its path with query, and hands it on as it comes.
Download = Callable[[str, Into], Awaitable[Reply]]
Query = Mapping[str, str | int | bool | None]


class Api:
    """Sends requests and turns refusals into errors."""

    def __init__(self, send: Send, download: Download | None = None) -> None:
        self._send = send
        self._download = download
        self.changed = False  #: whether anything was asked for but to look

    async def get(self, path: str, **query: str | int | bool | None) -> Any:
        """Return what a path shows.

        Raises:
            ApiRefused: With the registry's own words.
        """
        return (await self.read(path, **query)).json()

    async def read(self, path: str, **query: str | int | bool | None) -> Reply:
        """Return what a path shows, with its headers."""
        return await self._ask("GET", path, query=query)

    async def download(self, path: str, into: Into, **query: str | int | bool | None) -> None:
        """Hand on what a path shows, of any length."""
        assert self._download is not None, "on a data folder, it is read from the database"
        reply = await self._download(f"{BASE}{path}{_query(query)}", into)
        if reply.status != HTTPStatus.OK:
            raise ApiRefused(_reason(reply))

    async def every(self, path: str, **query: str | int | bool | None) -> list[Any]:
        """Return all entries of a list, page by page."""
        return [entry async for entry in self.entries(path, **query)]

    async def entries(self, path: str, **query: str | int | bool | None) -> AsyncIterator[Any]:
        """Yield the entries of a list, page by page."""
        page = 1
        while True:
            found = await self.get(path, **query, page=page, page_size=_PAGE)
            for entry in found:
                yield entry
            if len(found) < _PAGE:
                return
            page += 1

    async def by_number(self, path: str) -> AsyncIterator[Any]:
        """Yield the entries of a list of any length, in the order of their numbers."""
        last = 0
        while found := await self.get(path, q=f"id=[{last + 1}~]", sort="id", page_size=_PAGE):
            for entry in found:
                yield entry
            last = found[-1]["id"]

    async def by_position(self, path: str, size: int) -> AsyncIterator[list[Any]]:
        """Yield a list of any length that is kept by position, `size` entries at a time."""
        after = 0
        while found := await self.get(path, after=after, page_size=size):
            yield found
            after += len(found)

    async def post(self, path: str, body: object = None, query: Query | None = None) -> Any:
        """Make something; return what the registry says of it, if anything."""
        return (await self._ask("POST", path, body, query)).json()

    async def create(self, path: str, body: object) -> str:
        """Make something and return its path."""
        reply = await self._ask("POST", path, body)
        return reply.headers["location"].partition(BASE)[2]

    async def put(self, path: str, body: object = None) -> Any:
        """Change something."""
        return (await self._ask("PUT", path, body)).json()

    async def patch(self, path: str, body: object = None) -> Any:
        """Change a part of something."""
        return (await self._ask("PATCH", path, body)).json()

    async def delete(self, path: str, **query: str | int | bool | None) -> Any:
        """Remove something; return what the registry says of it, if anything."""
        return (await self._ask("DELETE", path, query=query)).json()

    async def _ask(self, method: str, path: str, body: object = None, query: Query | None = None) -> Reply:
        self.changed |= method != "GET"
        encoded = None if body is None else json.dumps(body).encode()
        reply = await self._send(method, f"{BASE}{path}{_query(query or {})}", encoded)
        if reply.status >= _REFUSED:
            raise ApiRefused(_reason(reply))
        return reply


def part(name: object) -> str:
    """Return a name as one part of a path: a slash in it is encoded twice, as Harbor's clients do."""
    return quote(quote(str(name), safe=""), safe="") if "/" in str(name) else quote(str(name), safe="")


def _query(query: Query) -> str:
    given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    pairs = urlencode({name: value for name, value in given.items() if value is not None})
    return f"?{pairs}" if pairs else ""


def _reason(reply: Reply) -> str:
    try:
        return "; ".join(error["message"] for error in reply.json()["errors"])
    except (ApiRefused, KeyError, TypeError):
        return _not_ours(reply.status)


def _not_ours(status: int) -> str:
    return f"the server answered {status}, not as an Entrepot does; is the address right?"
