"""Requests made of the API's own documentation, so that a corpus reaches every route there is, and every new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from tests.support.api import BASE
from tests.support.app import App

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path, with its examples filled in."""

    method: str
    path: str  #: as in the documentation, below `/api/v2.0`
    query: Mapping[str, Any] = field(default_factory=dict)  #: every parameter of the query, by its example
    values: Mapping[str, Any] = field(default_factory=dict)  #: every parameter of the path
    body: Any = None  #: the example; None where nothing is sent

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def target(self, values: Mapping[str, Any] = {}, query: Mapping[str, Any] = {}) -> str:
        """Return the path to ask, below `/api/v2.0`, with some examples replaced and a query."""
        path = self.path
        for name, value in {**self.values, **values}.items():
            path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
        return f"{path}?{urlencode(query)}" if query else path


async def operations(app: App) -> list[Operation]:
    """List every operation of the API."""
    document = (await app.client().get(f"{BASE}/openapi.json")).json()
    return list(_operations(document))


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            examples = {
                place: {p["name"]: p["example"] for p in operation.get("parameters", ()) if p["in"] == place}
                for place in ("path", "query")
            }
            content = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
            yield Operation(
                method=method.upper(),
                path=path.removeprefix(BASE),
                query=examples["query"],
                values=examples["path"],
                body=content.get("example"),
            )
