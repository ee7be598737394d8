"""The registry that a command means, for commands that work on its databases and blobs themselves."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from entrepot.cli.folder import run
from entrepot.cli.program.command_line import given, hinted
from entrepot.cli.program.registry_choice import Meant, Why, meant, tell_at_terminal

if TYPE_CHECKING:
    from entrepot.config import Config
    from entrepot.metadata.opening import Stores

T = TypeVar("T")


def with_registry(work: Callable[[Stores], Awaitable[T]]) -> T:
    """Open the databases of the registry that is meant, and do something with them.

    Raises:
        typer.Exit: There is no registry there; the reason is on standard error.
    """
    from entrepot.bootstrap.databases import opened_databases

    place = located()

    async def inside() -> T:
        async with opened_databases(place) as stores:
            return await work(stores)

    return run(inside)


def located(*, on_server: str = "") -> Config:
    """Give the configuration of the registry that is meant, and say which one it is.

    Args:
        on_server: The command that does as much on a server, where there is one.

    Raises:
        typer.Exit: It is a server, or there is no registry there; the reason is on standard error.
    """
    found = configured(on_server=on_server)
    if not has_metadata(found):
        raise no_registry(found)
    return found


def has_metadata(place: Config) -> bool:
    """Tell whether a registry has ever been started there."""
    from entrepot.bootstrap.databases import has_databases

    return has_databases(place)


def no_registry(place: Config) -> typer.Exit:
    """Say on standard error that there is no registry, and give the end of the command."""
    typer.echo(
        f"error: there is no registry in {place.place} yet. Name its folder with --data DIR, or its "
        f"configuration file with --config FILE; a server with --server URL, after: entrepot login URL",
        err=True,
    )
    return typer.Exit(1)


def configured(*, on_server: str = "") -> Config:
    """Give the configuration of the folder that is meant, whether there is a registry or not.

    Raises:
        typer.Exit: It is a server, or the configuration cannot be used; the reasons are on standard error.
    """
    registry = meant()
    if registry.login is not None:
        typer.echo(
            f"error: this command works on a data folder, and {registry.name} is meant by {registry.why.value}. "
            "Name the folder with --data DIR, or its configuration file with --config FILE.",
            err=True,
        )
        if on_server:
            typer.echo(hinted(f"On the server: {on_server}"), err=True)
        raise typer.Exit(1)
    found = configuration_of(registry)
    tell_at_terminal(registry, found.place)
    return found


def configuration_at(folder: Path) -> Config:
    """Give the configuration of a folder that is named as an argument, which `--config` says more of."""
    return configuration_of(Meant(why=Why.OPTION, config=given().config, data=folder))


def configuration_of(registry: Meant) -> Config:
    """Give the configuration of a folder, or of a registry without one.

    Raises:
        typer.Exit: It cannot be used; the reasons are on standard error.
    """
    from entrepot.config import ConfigInvalid, load

    try:
        loaded = load(registry.config, os.environ, data=registry.data)
    except ConfigInvalid as error:
        problems = list(error.problems)
    else:
        if loaded.config.on_server or loaded.config.has_state:
            return loaded.config
        problems = loaded.problems  # nobody could say where the databases are
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(1)
