"""`entrepot key`: API keys, which clients use in place of a password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.end_times import Days, end_in
from entrepot.cli.management.output import Column, show, show_made, when
from entrepot.cli.management.place import ask
from entrepot.cli.people.user import user_id
from entrepot.cli.program.classes import Noun, destructive

app = Noun()

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the key is called.")]
Owner = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Whose key; your own without it.")]
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="PERMISSION", help="All that the key may do, like repository:pull; repeat it."),
]
Project = Annotated[str | None, typer.Option("--project", help="The project that --allow is about; else all.")]
Repositories = Annotated[str | None, typer.Option("--repositories", help="Pattern over the repositories' full names.")]
Tags = Annotated[str | None, typer.Option("--tags", help="Pattern over the tags.")]
Grace = Annotated[int, typer.Option("--grace", min=0, help="Seconds for which the old secret goes on.")]


@app.command("list")
def list_command(
    *,
    user: Owner = None,
    as_json: AsJson = False,
) -> None:
    """List the keys of an account."""

    async def work(api: Api) -> list[Any]:
        return list(await api.get(await _path(api, user)))

    columns: dict[str, Column] = {
        "id": "id",
        "name": "name",
        "begins with": "hint",
        "ends": when("expires_at"),
        "last used": when("last_used"),
        "limits": lambda entry: "none" if entry["limits"] is None else "; ".join(map(_limit, entry["limits"])),
    }
    show(ask(work), columns, as_json=as_json, of="key")


@app.command("create")
def create_command(
    name: Name,
    *,
    user: Owner = None,
    days: Days = None,
    allow: Allow = None,
    project: Project = None,
    repositories: Repositories = None,
    tags: Tags = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once. Use it as the password of `docker login`."""
    limit = {"permissions": allow, "project": project, "repositories": repositories, "tags": tags}
    if allow is None and any((project, repositories, tags)):
        typer.echo("error: say with --allow what the key may do there", err=True)
        raise typer.Exit(2)
    body = {"name": name, "expires_at": end_in(days), "limits": None if allow is None else [limit]}

    async def work(api: Api) -> dict[str, Any]:
        made: dict[str, Any] = await api.post(await _path(api, user), body)
        return made

    made = ask(work)
    show_made(made, made["secret"], as_json=as_json)


@app.command("rotate")
def rotate_command(
    name: Name,
    *,
    user: Owner = None,
    grace: Grace = 0,
) -> None:
    """Put a new key in the place of one, and print it, this once."""

    async def work(api: Api) -> str:
        path = await _path(api, user)
        made = await api.post(f"{path}/{await _key_id(api, path, name)}/rotate", {"grace": grace})
        return str(made["secret"])

    typer.echo(ask(work))


@app.command("remove")
@destructive()
def remove_command(name: Name, *, user: Owner = None) -> None:
    """Remove a key; whatever it opened ends within seconds."""

    async def work(api: Api) -> None:
        path = await _path(api, user)
        await api.delete(f"{path}/{await _key_id(api, path, name)}")

    ask(work)
    typer.echo(f"Key {name} is removed.")


def _limit(limit: Mapping[str, Any]) -> str:
    places = (f"{name} {limit[name]}" for name in ("project", "repositories", "tags") if limit.get(name))
    return " on ".join((", ".join(limit["permissions"]), *places))


async def _path(api: Api, user: str | None) -> str:
    return f"/users/{'current' if user is None else await user_id(api, user)}/keys"


async def _key_id(api: Api, path: str, name: str) -> int:
    for key in await api.get(path):
        if key["name"] == name:
            return int(key["id"])
    raise ApiRefused(f"there is no key {name}; entrepot key list shows all")
