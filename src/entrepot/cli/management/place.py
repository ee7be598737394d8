"""Which registry a command means: a server by `--server`, or the data folder by `--data`.

In this order: the folder of `--data` or `--config`; the server of `--server`, or of `ENTREPOT_SERVER`; the server
signed in to last; the folder that `REGISTRY_*` variables name, or ./data.
"""

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
from entrepot.cli.management.logins import Login, NotSignedIn
from entrepot.cli.management.remote import with_login
from entrepot.cli.place import ConfigFile, Data, located
from entrepot.config import Config

T = TypeVar("T")

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar=logins.VARIABLE,
        help="The server to ask, where `entrepot login` signed in; without it the latest of these, or the data folder.",
    ),
]

__all__ = ["ConfigFile", "Data", "Server", "ask", "find_login", "is_folder"]


def ask(server: str | None, config: Path | None, data: Path | None, work: Callable[[Api], Awaitable[T]]) -> T:
    """Do something with the registry that the options name.

    Where they name none, it is told which one was meant if something was changed.

    Raises:
        typer.Exit: It could not be done; the reason is on standard error.
    """
    meant = find_login(server, config, data) or located(config, data)

    async def inside() -> T:
        async with _opened(meant) as api:
            try:
                return await work(api)
            finally:
                if api.changed and server is None and config is None and data is None:
                    typer.echo(f"(in {_name(meant)})", err=True)

    return run(inside)


def is_folder(server: str | None, config: Path | None, data: Path | None) -> bool:
    """Tell whether the options mean a data folder, and no server.

    Raises:
        typer.Exit: As `find_login`.
    """
    return find_login(server, config, data) is None


def find_login(server: str | None, config: Path | None, data: Path | None) -> Login | None:
    """Return the login for the server that the options mean; None where they mean a data folder.

    Raises:
        typer.Exit: They name both, or nobody has signed in to that server; the reason is on standard error.
    """
    if config is not None or data is not None:
        if server not in (None, os.environ.get(logins.VARIABLE)):
            typer.echo("error: name a server or a data folder, not both", err=True)
            raise typer.Exit(2)
        return None
    try:
        return logins.find(server) if server is not None or logins.load() else None
    except NotSignedIn as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


@asynccontextmanager
async def _opened(meant: Login | Config) -> AsyncIterator[Api]:
    if isinstance(meant, Login):
        yield with_login(meant)
        return
    async with local_api(meant) as api:
        yield api


def _name(meant: Login | Config) -> str:
    return meant.server if isinstance(meant, Login) else str(meant.data.absolute())
