"""`entrepot repo`: repositories."""

from __future__ import annotations

from typing import Annotated

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.images.names import Repository, repository_named
from entrepot.cli.management.api import part
from entrepot.cli.management.listing import Limit, ask_some
from entrepot.cli.management.output import Column, show_one, time_of, when
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun, destructive
from entrepot.cli.program.command_line import hinted

app = Noun()


@app.command("list")
def list_command(
    project: Annotated[
        str | None, typer.Argument(metavar="PROJECT", help="Only of this project; without it, of all.")
    ] = None,
    *,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List the repositories, the one that changed last first."""
    path = "/repositories" if project is None else f"/projects/{part(project)}/repositories"
    columns: dict[str, Column] = {
        "repository": "name",
        "images": "artifact_count",
        "pulls": "pull_count",
        "changed": when("update_time"),
        "description": "description",
    }
    ask_some(path, limit, columns, as_json=as_json, of="repository", sort="-update_time")


@app.command("show")
def show_command(repository: Repository, *, as_json: AsJson = False) -> None:
    """Show a repository."""
    name = repository_named(repository)
    found = ask(lambda api: api.get(name.path))
    shown = {
        "repository": found["name"],
        "description": found["description"],
        "images": found["artifact_count"],
        "pulls": found["pull_count"],
        "created": time_of(found["creation_time"]),
        "changed": time_of(found["update_time"]),
    }
    show_one(found if as_json else shown, as_json=as_json)


@app.command("remove")
@destructive()
def remove_command(repository: Repository) -> None:
    """Remove a repository with all its images; it lies in the trash for as long as that keeps it."""
    name = repository_named(repository)
    ask(lambda api: api.delete(name.path))
    typer.echo(hinted(f"{name} is removed. To bring it back: entrepot trash list --project {name.project}"))
