"""`entrepot project`: projects, and who may read them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, part
from entrepot.cli.management.output import Column, show, show_made, show_one, time_of
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun, destructive
from entrepot.oci.errors import NameInvalid
from entrepot.oci.reference import RepositoryName

app = Noun()


class Visibility(StrEnum):
    """Who may read a project without a grant."""

    PRIVATE = "private"
    INTERNAL = "internal"
    PUBLIC = "public"


_MEANING = {
    Visibility.PRIVATE: "private",
    Visibility.INTERNAL: "internal: people who are signed in may pull",
    Visibility.PUBLIC: "public: everybody may pull",
}

Name = Annotated[str, typer.Argument(metavar="NAME", help="First part of the repository names; 'library' without one.")]
Public = Annotated[
    bool | None, typer.Option("--public/--private", help="Whether everybody may pull from it, or who has the right.")
]
Internal = Annotated[
    bool, typer.Option("--internal", help="People who are signed in may pull from it; robots need a grant.")
]


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the projects and who may read them."""
    found = ask(lambda api: api.every("/projects"))
    entries = [
        {
            "id": project["project_id"],
            "name": project["name"],
            "visibility": project["metadata"]["visibility"],
            "owner": project["owner_name"],
            "repositories": project["repo_count"],
        }
        for project in found
    ]
    columns: dict[str, Column] = {name: name for name in ("id", "name", "visibility", "owner", "repositories")}
    show(entries, columns, as_json=as_json, of="project")


@app.command("create")
def create_command(
    name: Name,
    *,
    public: Public = None,
    internal: Internal = False,
    as_json: AsJson = False,
) -> None:
    """Make a project, private unless said otherwise."""
    check_name(name)
    wanted = _visibility(public, internal=internal) or Visibility.PRIVATE
    body = {"project_name": name, "metadata": _settings(wanted)}

    async def work(api: Api) -> dict[str, Any]:
        await api.post("/projects", body)
        made: dict[str, Any] = await api.get(f"/projects/{part(name)}")
        return made

    show_made(ask(work), f"{name} is created, and {_MEANING[wanted]}.", as_json=as_json)


@app.command("set")
def set_command(
    name: Name,
    *,
    public: Public = None,
    internal: Internal = False,
) -> None:
    """Say who may read a project; one that does not exist yet is created. Works within 6 seconds."""
    check_name(name)
    wanted = _visibility(public, internal=internal)
    if wanted is None:
        typer.echo("error: say who may read it: --public, --internal or --private", err=True)
        raise typer.Exit(2)

    async def work(api: Api) -> bool:
        known = await api.get("/projects", q=f'name="{name}"', page_size=1)
        if known:
            await api.put(f"/projects/{part(name)}", {"metadata": _settings(wanted)})
        else:
            await api.post("/projects", {"project_name": name, "metadata": _settings(wanted)})
        return bool(known)

    known = ask(work)
    typer.echo(f"{name} is {'' if known else 'created, and '}{_MEANING[wanted]}.")


@app.command("show")
def show_command(name: Name, *, as_json: AsJson = False) -> None:
    """Show a project with its settings."""
    found = ask(lambda api: api.get(f"/projects/{part(name)}"))
    show_one(found if as_json else _for_people(found), as_json=as_json)


@app.command("remove")
@destructive()
def remove_command(
    name: Name,
    *,
    with_repositories: Annotated[
        bool, typer.Option("--with-repositories", help="Also if it has repositories, and these with it.")
    ] = False,
) -> None:
    """Remove a project with its members, robots and labels; it lies in the trash for as long as that keeps it."""
    force = True if with_repositories else None
    ask(lambda api: api.delete(f"/projects/{part(name)}", force=force))
    typer.echo(f"{name} is removed.")


def check_name(name: str) -> None:
    """Go on only with a name that a project can have.

    Raises:
        typer.Exit: It cannot; what to name instead is on standard error.
    """
    try:
        repository = RepositoryName.parse(f"{name}/any")
    except NameInvalid as error:
        typer.echo(f"error: {name!r} cannot be a project: {error}", err=True)
        raise typer.Exit(1) from None
    if repository.project != name:
        typer.echo(f"error: {name!r} names a repository; its project is {repository.project!r}.", err=True)
        raise typer.Exit(1)


def _for_people(project: Mapping[str, Any]) -> dict[str, Any]:
    settings = dict(project["metadata"])
    del settings["public"]  # which its visibility says, too
    visibility = Visibility(settings.pop("visibility"))
    return {
        "name": project["name"],
        "id": project["project_id"],
        "visibility": _MEANING[visibility],
        "owner": project["owner_name"],
        "repositories": project["repo_count"],
        "created": time_of(project["creation_time"]),
        "changed": time_of(project["update_time"]),
        **settings,
    }


def _visibility(public: bool | None, *, internal: bool) -> Visibility | None:  # noqa: FBT001 - as typer gives it
    if internal and public is not None:
        typer.echo("error: --internal goes without --public and --private", err=True)
        raise typer.Exit(2)
    if internal:
        return Visibility.INTERNAL
    if public is None:
        return None
    return Visibility.PUBLIC if public else Visibility.PRIVATE


def _settings(wanted: Visibility) -> dict[str, str]:
    return {"public": "true" if wanted is Visibility.PUBLIC else "false", "visibility": wanted}
