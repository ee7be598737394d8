"""Lists that may be long: so many of them, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from entrepot.cli.management.api import Api
from entrepot.cli.management.output import Column, show
from entrepot.cli.management.place import ask
from entrepot.telemetry.words import counted

#: What one answer of the API holds at most.
_PAGE: Final = 100
_TOTAL: Final = "x-total-count"

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many at most.")]


def ask_some(
    path: str, limit: int, columns: Mapping[str, Column], *, as_json: bool, of: str, **query: str | int | bool | None
) -> None:
    """Show the first entries of a list, and say first how many there are where there are more."""

    async def work(api: Api) -> tuple[list[Any], int]:
        return await some(api, path, limit, **query)

    found, total = ask(work)
    if total > len(found) and not as_json:
        typer.echo(f"{counted(total, of)}; the first {len(found):,} are:")
    show(found, columns, as_json=as_json, of=of)


async def some(api: Api, path: str, limit: int, **query: str | int | bool | None) -> tuple[list[Any], int]:
    """Return the first entries of a list, and how many there are."""
    found: list[Any] = []
    total, page = 0, 1
    while len(found) < limit:
        reply = await api.read(path, **query, page=page, page_size=min(_PAGE, limit))
        some_more = reply.json() or []
        found += some_more
        total = int(reply.headers.get(_TOTAL) or len(found))
        if len(some_more) < min(_PAGE, limit):
            break
        page += 1
    return found[:limit], max(total, len(found))
