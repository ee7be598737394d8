"""Requests as Harbor's own command line (goharbor/harbor-cli) sends them by Harbor's client for Go.

What it has no value for it sends all the same, as an empty text or 0: `q=&sort=&page=0&page_size=0`. In bodies Go
leaves out what is empty. A name in a path is escaped once; a query that it makes up itself it escapes twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tests.support.http_client import Answer, Client

BASE = "/api/v2.0"
#: `q` for the robots of a project, as the command line writes it before it escapes it with the rest.
OF_PROJECT = "Level%3Dproject%2CProjectID%3D"


class Refused(AssertionError):
    """An answer at which the command line gives up."""


@dataclass(kw_only=True)
class HarborCli:
    """The command line after `harbor login`."""

    client: Client

    def send(self, method: str, path: str, body: Any = None, *, by_name: bool | None = None, **query: Any) -> Answer:
        """Send a request; the client for Go takes an answer of the statuses that Harbor's document has."""
        headers = {"Accept": "application/json", "User-Agent": "go-client"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if by_name is not None:
            headers["X-Is-Resource-Name"] = str(by_name).lower()
        target = f"{BASE}{path}" + (f"?{urlencode(query)}" if query else "")
        answer = self.client.request(method, target, b"" if body is None else json.dumps(body).encode(), headers)
        if answer.status not in (200, 201, 202):
            raise Refused(f"{method} {target}: {answer.status} {answer.body.decode()}")
        return answer

    def get(self, path: str, *, by_name: bool | None = None, **query: Any) -> Any:
        """Read something."""
        return self.send("GET", path, by_name=by_name, **query).json()

    def list(self, path: str, *, page: int = 0, page_size: int = 0, q: str = "", sort: str = "", **more: Any) -> Any:
        """List something with the flags that it has for all lists."""
        return self.get(path, page=page, page_size=page_size, q=q, sort=sort, **more)

    def number_of(self, path: str, key: str, name: str, number: str) -> int:
        """Look a number up by the name, as its commands do that take names: in a list of everything."""
        return int(next(each[number] for each in self.list(path) if each[key] == name))


def part(text: str) -> str:
    """Write a name into a path as Harbor's client for Go does."""
    return quote(text, safe="")
