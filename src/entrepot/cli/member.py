"""`entrepot member`: who may do what in a project."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused, part
from entrepot.cli.management.output import Column, show
from entrepot.cli.management.place import ConfigFile, Data, Server, ask

app = typer.Typer(no_args_is_help=True, help="Members of projects and their roles.")


class ProjectRole(StrEnum):
    """The roles that a member may have, by Harbor's names."""

    ADMIN = "projectAdmin"
    MAINTAINER = "maintainer"
    DEVELOPER = "developer"
    GUEST = "guest"
    LIMITED_GUEST = "limitedGuest"


_IDS = {
    ProjectRole.ADMIN: 1,
    ProjectRole.DEVELOPER: 2,
    ProjectRole.GUEST: 3,
    ProjectRole.MAINTAINER: 4,
    ProjectRole.LIMITED_GUEST: 5,
}

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.")]
Who = Annotated[str, typer.Argument(metavar="NAME", help="Name of the person, or of the group with --group.")]
IsGroup = Annotated[bool, typer.Option("--group", help="NAME is a group.")]
Role = Annotated[ProjectRole, typer.Option("--role", help="What the member may do.")]


@app.command("list")
def list_command(
    project: Project, *, server: Server = None, config: ConfigFile = None, data: Data = None, as_json: AsJson = False
) -> None:
    """List the members of a project."""
    found = ask(server, config, data, lambda api: api.every(f"/projects/{part(project)}/members"))
    columns: dict[str, Column] = {
        "id": "id",
        "name": "entity_name",
        "kind": lambda entry: "group" if entry["entity_type"] == "g" else "user",
        "role": "role_name",
    }
    show(found, columns, as_json=as_json)


@app.command("add")
def add_command(
    project: Project,
    who: Who,
    *,
    role: Role,
    group: IsGroup = False,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
) -> None:
    """Make somebody a member of a project."""
    member = {"member_group": {"group_name": who}} if group else {"member_user": {"username": who}}
    body = {"role_id": _IDS[role], **member}
    ask(server, config, data, lambda api: api.post(f"/projects/{part(project)}/members", body))
    typer.echo(f"{who} is {role} of {project}.")


@app.command("set")
def set_command(
    project: Project,
    who: Who,
    *,
    role: Role,
    group: IsGroup = False,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
) -> None:
    """Give a member another role."""

    async def work(api: Api) -> None:
        path = f"/projects/{part(project)}/members"
        await api.put(f"{path}/{await _member_id(api, path, who, group=group)}", {"role_id": _IDS[role]})

    ask(server, config, data, work)
    typer.echo(f"{who} is {role} of {project}.")


@app.command("remove")
def remove_command(
    project: Project,
    who: Who,
    *,
    group: IsGroup = False,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
) -> None:
    """End a membership."""

    async def work(api: Api) -> None:
        path = f"/projects/{part(project)}/members"
        await api.delete(f"{path}/{await _member_id(api, path, who, group=group)}")

    ask(server, config, data, work)
    typer.echo(f"{who} is no member of {project} any more.")


async def _member_id(api: Api, path: str, who: str, *, group: bool) -> int:
    kind = "g" if group else "u"
    found: list[Any] = await api.every(path, entityname=who)
    for entry in found:
        if (entry["entity_name"], entry["entity_type"]) == (who, kind):
            return int(entry["id"])
    raise ApiRefused(f"{who} is no member; entrepot member list shows all")
