"""Which registry a command means: a server by `--server`, or the data folder by `--data`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from entrepot.cli.folder import run
from entrepot.cli.management import logins
from entrepot.cli.management.api import Api
from entrepot.cli.management.local import local_api
from entrepot.cli.management.remote import with_login
from entrepot.cli.place import ConfigFile, Data, located

T = TypeVar("T")

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar=logins.VARIABLE,
        help="The server to ask, where `entrepot login` signed in; without it the latest of these, or else ./data.",
    ),
]

__all__ = ["ConfigFile", "Data", "Server", "ask", "is_folder"]


def ask(server: str | None, config: Path | None, data: Path | None, work: Callable[[Api], Awaitable[T]]) -> T:
    """Do something with the registry that the options name.

    `--data` or `--config` mean the folder. Without these, and without `--server`, it is the server signed in to last,
    and where nobody signed in the folder ./data. What was meant is told then if something was changed.

    Raises:
        typer.Exit: It could not be done; the reason is on standard error.
    """

    async def inside() -> T:
        async with _opened(server, config, data) as api:
            try:
                return await work(api)
            finally:
                if api.changed and server is None and config is None and data is None:
                    typer.echo(f"(in {_meant()})", err=True)

    return run(inside)


def is_folder(server: str | None, config: Path | None, data: Path | None) -> bool:
    """Tell whether the options mean a data folder, and no server."""
    return config is not None or data is not None or (server is None and _prefers_folder())


@asynccontextmanager
async def _opened(server: str | None, config: Path | None, data: Path | None) -> AsyncIterator[Api]:
    given = config is not None or data is not None
    if given and server is not None and not os.environ.get(logins.VARIABLE):
        typer.echo("error: name a server or a data folder, not both", err=True)
        raise typer.Exit(2)
    if is_folder(server, config, data):
        async with local_api(located(config, data)) as api:
            yield api
        return
    yield with_login(logins.find(server))


def _prefers_folder() -> bool:
    return not logins.load()


def _meant() -> str:
    return str(Path("data").absolute()) if _prefers_folder() else logins.find(None).server
