"""Which registry a command means: the folder that `serve` was given, by the same options."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from entrepot.cli.folder import opened, run
from entrepot.config import Config, ConfigInvalid, load
from entrepot.metadata.opening import METADATA_NAME, Stores

T = TypeVar("T")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The configuration file that serve was given, if any."),
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder that serve was given; default ./data.")
]


def with_registry(config: Path | None, data: Path | None, work: Callable[[Stores], Awaitable[T]]) -> T:
    """Open the databases of the registry that the options name, and do something with them.

    Raises:
        typer.Exit: There is no registry there; the reason is on standard error.
    """
    place = located(config, data)

    async def inside() -> T:
        async with opened(place.data) as stores:
            return await work(stores)

    return run(inside)


def located(config: Path | None, data: Path | None) -> Config:
    """Give the configuration of the registry that the options name.

    Raises:
        typer.Exit: There is no registry there; the reason is on standard error.
    """
    found = configured(config, data)
    if not has_metadata(found):
        raise no_registry(found)
    return found


def has_metadata(place: Config) -> bool:
    """Tell whether a registry has ever been started in a folder."""
    return (place.state / METADATA_NAME).exists()


def no_registry(place: Config) -> typer.Exit:
    """Say on standard error that there is no registry, and give the end of the command."""
    typer.echo(
        f"error: there is no registry in {place.data.absolute()} yet. Name its folder with --data DIR, or its "
        f"configuration file with --config FILE.",
        err=True,
    )
    return typer.Exit(1)


def configured(config: Path | None, data: Path | None) -> Config:
    """Give the configuration that the options and the environment make, whether there is a registry or not.

    Raises:
        typer.Exit: It cannot be used; the reasons are on standard error.
    """
    try:
        return load(config, os.environ, data=data).config
    except ConfigInvalid as error:
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        raise typer.Exit(1) from None
