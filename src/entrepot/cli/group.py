"""`entrepot group`: groups of people, of our own or of a directory or provider."""

from __future__ import annotations

from typing import Annotated

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.output import Column, show
from entrepot.cli.management.place import ConfigFile, Data, Server, ask

app = typer.Typer(no_args_is_help=True, help="Groups of people: list, create, remove.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the group.")]

#: Harbor's numbers for where a group comes from.
_KINDS = {1: "ldap", 2: "local", 3: "oidc"}


@app.command("list")
def list_command(
    *, server: Server = None, config: ConfigFile = None, data: Data = None, as_json: AsJson = False
) -> None:
    """List the groups."""
    found = ask(server, config, data, lambda api: api.every("/usergroups"))
    columns: dict[str, Column] = {
        "id": "id",
        "name": "group_name",
        "from": lambda entry: _KINDS.get(entry["group_type"], ""),
        "known there as": "ldap_group_dn",
    }
    show(found, columns, as_json=as_json)


@app.command("create")
def create_command(
    name: Name,
    *,
    dn: Annotated[str, typer.Option("--ldap-dn", help="Its distinguished name in the directory, if it is one's.")] = "",
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
) -> None:
    """Create a group: of our own, or one that stands for a group of the directory."""
    body = {"group_name": name, "group_type": 1 if dn else 2, "ldap_group_dn": dn}
    ask(server, config, data, lambda api: api.post("/usergroups", body))
    typer.echo(f"Group {name} is created.")


@app.command("remove")
def remove_command(name: Name, *, server: Server = None, config: ConfigFile = None, data: Data = None) -> None:
    """Remove a group with its rights."""

    async def work(api: Api) -> None:
        await api.delete(f"/usergroups/{await group_id(api, name)}")

    ask(server, config, data, work)
    typer.echo(f"Group {name} is removed.")


async def group_id(api: Api, name: str) -> int:
    """Return the number of the group of this name.

    Raises:
        ApiRefused: There is none.
    """
    for found in await api.every("/usergroups", group_name=name):
        if found["group_name"] == name:
            return int(found["id"])
    raise ApiRefused(f"there is no group {name}; entrepot group list shows all")
