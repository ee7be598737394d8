"""`entrepot role`: sets of permissions with names, which members of projects have and `entrepot access` gives."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.output import Column, show, show_made
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun, destructive

app = Noun()

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the role.")]
Allow = Annotated[
    list[str],
    typer.Option("--allow", metavar="PERMISSION", help="What it allows: repository:push, tag:*, ...; repeat it."),
]


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the roles."""
    found = ask(lambda api: api.get("/roles"))
    columns: dict[str, Column] = {
        "id": "id",
        "name": "name",
        "description": "description",
        "permissions": lambda entry: str(len(entry["permissions"])),
        "built in": "built_in",
    }
    show(found, columns, as_json=as_json)


@app.command("show")
def show_command(name: Name, *, as_json: AsJson = False) -> None:
    """List what a role allows."""

    async def work(api: Api) -> list[dict[str, str]]:
        found = await api.get(f"/roles/{await role_id(api, name)}")
        return list(found["permissions"])

    columns: dict[str, Column] = {"resource": "resource", "action": "action"}
    show(ask(work), columns, as_json=as_json)


@app.command("create")
def create_command(
    name: Name,
    *,
    allow: Allow,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a role."""
    permissions = [dict(zip(("resource", "action"), each.split(":", 1), strict=False)) for each in allow]
    body = {"name": name, "description": description, "permissions": permissions}

    async def work(api: Api) -> dict[str, Any]:
        place = await api.create("/roles", body)
        return dict(await api.get(place)) if as_json else {}

    show_made(ask(work), f"Role {name} is made.", as_json=as_json)


@app.command("remove")
@destructive()
def remove_command(name: Name) -> None:
    """Remove a role that nobody has any more."""

    async def work(api: Api) -> None:
        await api.delete(f"/roles/{await role_id(api, name)}")

    ask(work)
    typer.echo(f"Role {name} is removed.")


async def role_id(api: Api, name: str) -> int:
    """Return the number of the role of this name.

    Raises:
        ApiRefused: There is none.
    """
    for role in await api.get("/roles"):
        if role["name"] == name:
            return int(role["id"])
    raise ApiRefused(f"there is no role {name}; entrepot role list shows all")
