"""`entrepot group`: groups of people, of our own or of a directory or provider."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from entrepot.accounts.directory.names import DnInvalid, fold_dn
from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.output import Column, show, show_made
from entrepot.cli.management.place import ask
from entrepot.cli.people.user import user_id
from entrepot.cli.program.classes import Noun, destructive

app = Noun()

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the group.")]

Who = Annotated[str, typer.Argument(metavar="USER", help="Name of the person.")]
Dn = Annotated[str, typer.Option("--ldap-dn", help="Its distinguished name in the directory, if it is one's.")]
Provider = Annotated[str, typer.Option("--provider", help="The sign-in provider whose group it is: `oidc:NAME`.")]

#: The API's numbers for where a group comes from; three are Harbor's.
_LDAP, _PROVIDER, _LOCAL = 1, 3, 4


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the groups."""
    found = ask(lambda api: api.every("/usergroups"))
    columns: dict[str, Column] = {
        "id": "id",
        "name": "group_name",
        "from": "provider",
        "known there as": "subject",
    }
    show(found, columns, as_json=as_json)


@app.command("create")
def create_command(
    name: Name,
    *,
    dn: Dn = "",
    provider: Provider = "",
    as_json: AsJson = False,
) -> None:
    """Create a group: of our own, or one that stands for a group of the directory or of a sign-in provider."""
    kind = _LDAP if dn else _PROVIDER if provider else _LOCAL
    body = {"group_name": name, "group_type": kind, "ldap_group_dn": dn, "provider": provider}

    async def work(api: Api) -> tuple[dict[str, Any], str]:
        there = None if kind == _LOCAL else await _find(api, name, dn, provider)
        if there is not None:
            return there, f"Group {name} is there already, and is that one."
        place = await api.create("/usergroups", body)
        return await api.get(place) if as_json else {}, f"Group {name} is created."

    show_made(*ask(work), as_json=as_json)


async def _find(api: Api, name: str, dn: str, provider: str) -> dict[str, Any] | None:
    """Find the group of this name that stands for that of the directory or provider: the first sign-in made it."""
    found = [group for group in await api.every("/usergroups") if group["group_name"] == name]
    wanted = ("ldap", _folded(dn)) if dn else (provider, name)
    return next((group for group in found if (group["provider"], group["subject"]) == wanted), None)


def _folded(dn: str) -> str:
    try:
        return fold_dn(dn)
    except DnInvalid:
        return dn  # the registry says what is wrong with it


@app.command("members")
def members_command(name: Name, *, as_json: AsJson = False) -> None:
    """List the people in a group."""

    async def work(api: Api) -> list[Any]:
        return await api.every(f"/usergroups/{await group_id(api, name)}/members")

    columns: dict[str, Column] = {"id": "user_id", "name": "username", "disabled": "disabled"}
    show(ask(work), columns, as_json=as_json)


@app.command("add")
def add_command(name: Name, who: Who) -> None:
    """Put somebody into a group of our own."""

    async def work(api: Api) -> None:
        body = {"user_id": await user_id(api, who)}
        await api.post(f"/usergroups/{await group_id(api, name)}/members", body)

    ask(work)
    typer.echo(f"{who} is in {name}.")


@app.command("drop")
@destructive()
def drop_command(name: Name, who: Who) -> None:
    """Take somebody out of a group of our own."""

    async def work(api: Api) -> None:
        await api.delete(f"/usergroups/{await group_id(api, name)}/members/{await user_id(api, who)}")

    ask(work)
    typer.echo(f"{who} is in {name} no more.")


@app.command("remove")
@destructive()
def remove_command(name: Name) -> None:
    """Remove a group with its rights."""

    async def work(api: Api) -> None:
        await api.delete(f"/usergroups/{await group_id(api, name)}")

    ask(work)
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
