"""Opening a data folder from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from entrepot.metadata.errors import DatabaseError
from entrepot.metadata.opening import Stores, open_embedded
from entrepot.oci.errors import RegistryError
from entrepot.registry.layout import OWN

T = TypeVar("T")

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", exists=True, file_okay=False, help="The root folder: registry:2's rootdirectory, serve's --data."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Stores]:
    """Open the metadata of a data folder, beside a running server or without one."""
    stores = await open_embedded(folder / OWN)
    try:
        yield stores
    finally:
        await stores.close()


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work; what an operator can mend ends it with one clear line and exit code 1."""
    try:
        return asyncio.run(work())
    except (DatabaseError, RegistryError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("stopped; run the command again to go on", err=True)
        raise typer.Exit(130) from None
