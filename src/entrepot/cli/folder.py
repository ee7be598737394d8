"""What commands on a data folder have in common, and how a command is run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from entrepot.cli.program.command_line import hinted
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.errors import DatabaseError
from entrepot.oci.errors import RegistryError
from entrepot.outbound.errors import OutboundError
from entrepot.registry.layout import OWN, REPOSITORIES

if TYPE_CHECKING:
    from entrepot.config import Config

T = TypeVar("T")

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", exists=True, file_okay=False, help="The root folder: registry:2's rootdirectory, serve's --data."
    ),
]
#: The same, where a configuration that is named may say that the blobs lie in a bucket.
FolderOrBucket = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="The root folder: registry:2's rootdirectory, serve's --data. Of a registry on an object store, none: "
        "name its configuration with --config.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


class NoTree(RegistryError):
    """There is nothing to adopt here."""


class NoMetadata(RegistryError):
    """There is no registry of ours here."""


def require_tree(folder: Path) -> None:
    """Check that registry:2 could have filled a folder.

    Raises:
        NoTree: It has not; the message says which folder is perhaps meant.
    """
    if (folder / REPOSITORIES).is_dir():
        return
    above = next((place for place in folder.absolute().parents if (place / REPOSITORIES).is_dir()), None)
    below = next((place.parents[3] for place in sorted(folder.glob(f"*/{REPOSITORIES}"))), None)
    hint = f" Did you mean {above or below}?" if above or below else ""
    raise NoTree(
        f"there is nothing to adopt in {folder}: it has no {REPOSITORIES}. Name the folder that is registry:2's "
        f"rootdirectory (in its container /var/lib/registry).{hint}"
    )


def require_metadata(place: Config) -> None:
    """Check that a folder is in use by Entrepot.

    Raises:
        NoMetadata: It is not; the message says what can be done.
    """
    from entrepot.bootstrap.databases import has_databases
    from entrepot.metadata.opening import METADATA_NAME

    if not has_databases(place):
        raise NoMetadata(
            f"{place.data} has no {OWN}/{METADATA_NAME}, so there is nothing to compare its files with. To take over "
            f"what registry:2 left there: entrepot adopt {place.data}"
        )


def run(work: Callable[[], Coroutine[Any, Any, T]], *, reserve: Reserve = Reserve.RELEASED) -> T:
    """Run a command's work; what an operator can mend ends it with one clear line and exit code 1.

    Unless told otherwise it may use what is put aside for a full disk: commands are what empties one.
    """
    try:
        with with_reserve(reserve):
            return asyncio.run(work())
    except (DatabaseError, OutboundError, RegistryError, OSError) as error:
        typer.echo(hinted(f"error: {error}"), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("stopped; run the command again to go on", err=True)
        raise typer.Exit(130) from None
