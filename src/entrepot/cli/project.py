"""`entrepot project`: list projects, and say who may read them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from entrepot.cli.folder import AsJson
from entrepot.cli.place import ConfigFile, Data, with_registry
from entrepot.metadata import projects
from entrepot.metadata.database import Transaction
from entrepot.metadata.opening import Stores
from entrepot.oci.errors import NameInvalid
from entrepot.oci.reference import RepositoryName

app = typer.Typer(no_args_is_help=True, help="List projects, and make them public or private.")

_PAGE = 1000

Name = Annotated[str, typer.Argument(metavar="NAME", help="First part of the repository names; 'library' without one.")]
Public = Annotated[bool, typer.Option("--public/--private", help="Whether everybody may pull from it.")]


@app.command("list")
def list_command(*, config: ConfigFile = None, data: Data = None, as_json: AsJson = False) -> None:
    """List the projects and whether they are public."""
    found = with_registry(config, data, _all)
    if as_json:
        typer.echo(json.dumps([asdict(project) for project in found]))
        return
    table = Table("project", "who may pull")
    for project in found:
        table.add_row(project.name, "everybody" if project.public else "who has the right")
    Console().print(table)


@app.command("set")
def set_command(name: Name, *, public: Public, config: ConfigFile = None, data: Data = None) -> None:
    """Make a project public or private; one that does not exist yet is created. Works within 5 seconds."""
    _check(name)

    async def change(tx: Transaction) -> None:
        await projects.ensure(tx, name)
        await projects.set_public(tx, name, public=public)

    async def work(stores: Stores) -> None:
        await stores.metadata.write(change, name="set project")

    with_registry(config, data, work)
    typer.echo(f"{name} is {'public: everybody may pull' if public else 'private'}.")


async def _all(stores: Stores) -> list[projects.ProjectRecord]:
    found: list[projects.ProjectRecord] = []
    while page := await projects.page(stores.metadata, limit=_PAGE, last=found[-1].name if found else ""):
        found += page
    return found


def _check(name: str) -> None:
    try:
        repository = RepositoryName.parse(f"{name}/any")
    except NameInvalid as error:
        typer.echo(f"error: {name!r} cannot be a project: {error}", err=True)
        raise typer.Exit(1) from None
    if repository.project != name:
        typer.echo(f"error: {name!r} names a repository; its project is {repository.project!r}.", err=True)
        raise typer.Exit(1)
