"""`entrepot member`: who may do what in a project."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused, part
from entrepot.cli.management.output import Column, show, show_made
from entrepot.cli.management.place import ask
from entrepot.cli.people.role import role_id
from entrepot.cli.program.classes import Noun, destructive

app = Noun()


#: The roles that come with the registry, by Harbor's numbers.
_ROLES = {"projectAdmin": 1, "maintainer": 4, "developer": 2, "guest": 3, "limitedGuest": 5}


def _begun(incomplete: str) -> list[str]:
    return [name for name in _ROLES if name.startswith(incomplete)]


Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.")]
Who = Annotated[str, typer.Argument(metavar="NAME", help="Name of the person, or of the group with --group.")]
IsGroup = Annotated[bool, typer.Option("--group", help="NAME is a group.")]
Role = Annotated[
    str,
    typer.Option(
        "--role",
        metavar="ROLE",
        autocompletion=_begun,
        help=f"What the member may do: {', '.join(_ROLES)}, or a role that was made here.",
    ),
]


@app.command("list")
def list_command(project: Project, *, as_json: AsJson = False) -> None:
    """List the members of a project."""
    found = ask(lambda api: api.every(_members(project)))
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
    as_json: AsJson = False,
) -> None:
    """Make somebody a member of a project."""
    member = {"member_group": {"group_name": who}} if group else {"member_user": {"username": who}}

    async def work(api: Api) -> dict[str, Any]:
        place = await api.create(_members(project), {"role_id": await _role_id(api, role), **member})
        return dict(await api.get(place)) if as_json else {}

    show_made(ask(work), f"{who} is {role} of {project}.", as_json=as_json)


@app.command("set")
def set_command(
    project: Project,
    who: Who,
    *,
    role: Role,
    group: IsGroup = False,
) -> None:
    """Give a member another role."""

    async def work(api: Api) -> None:
        await api.put(await _member(api, project, who, group=group), {"role_id": await _role_id(api, role)})

    ask(work)
    typer.echo(f"{who} is {role} of {project}.")


@app.command("remove")
@destructive()
def remove_command(
    project: Project,
    who: Who,
    *,
    group: IsGroup = False,
) -> None:
    """End a membership."""

    async def work(api: Api) -> None:
        await api.delete(await _member(api, project, who, group=group))

    ask(work)
    typer.echo(f"{who} is no member of {project} any more.")


async def _role_id(api: Api, name: str) -> int:
    return _ROLES.get(name) or await role_id(api, name)


def _members(project: str) -> str:
    return f"/projects/{part(project)}/members"


async def _member(api: Api, project: str, who: str, *, group: bool) -> str:
    """Return the path of a membership."""
    kind = "g" if group else "u"
    found: list[Any] = await api.every(_members(project), entityname=who)
    for entry in found:
        if (entry["entity_name"], entry["entity_type"]) == (who, kind):
            return f"{_members(project)}/{entry['id']}"
    raise ApiRefused(f"{who} is no member; entrepot member list shows all")
