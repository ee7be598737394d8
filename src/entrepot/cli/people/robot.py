"""`entrepot robot`: accounts of machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.output import Column, show, show_made
from entrepot.cli.management.place import ask
from entrepot.cli.management.projects import project_id
from entrepot.cli.program.classes import Noun, destructive
from entrepot.telemetry.words import since

app = Noun()

_FOR_EVER = -1

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name without prefix and project: `ci`.")]
FullName = Annotated[str, typer.Argument(metavar="NAME", help="Name as the list shows it: robot$team+ci.")]
Project = Annotated[
    str | None, typer.Option("--project", help="The project it belongs to; without it, the whole registry.")
]
Allow = Annotated[
    list[str],
    typer.Option("--allow", metavar="PERMISSION", help="What it may do, like repository:push; repeat it."),
]
Repositories = Annotated[str | None, typer.Option("--repositories", help="Pattern over the repositories' full names.")]
Tags = Annotated[str | None, typer.Option("--tags", help="Pattern over the tags.")]
Days = Annotated[int, typer.Option("--days", min=_FOR_EVER, help="Days until it ends; -1: never.")]


Issuer = Annotated[
    str | None, typer.Option("--issuer", metavar="URL", help="Issuer of outside tokens that speak for it: a CI's.")
]
Audience = Annotated[
    str | None, typer.Option("--audience", help="The audience that these tokens must have: this registry's address.")
]
Claim = Annotated[
    list[str] | None,
    typer.Option(
        "--claim",
        metavar="NAME=VALUE",
        help="What a claim of theirs must be; * and ** stand for any text without and with slashes. Repeat it; one "
        "must say whose job it is, by number where the issuer gives one: repository_id=74812.",
    ),
]


@app.command("list")
def list_command(
    *,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List the robots of a project, or those that belong to none."""

    async def work(api: Api) -> list[Any]:
        return await api.every("/robots", q=await _level(api, project))

    columns: dict[str, Column] = {
        "id": "id",
        "name": "name",
        "disabled": "disable",
        "may": _permissions,
        "ends": _end,
        "made by": "creator",
    }
    found = ask(work)
    show(found, columns, as_json=as_json, of="robot")
    for robot in found:
        for warning in robot.get("trust_warnings", ()):
            typer.echo(f"warning: {robot['name']}: {warning}", err=True)


@app.command("create")
def create_command(
    name: Name,
    *,
    allow: Allow,
    project: Project = None,
    repositories: Repositories = None,
    tags: Tags = None,
    days: Days = 90,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    issuer: Issuer = None,
    audience: Audience = None,
    claim: Claim = None,
    as_json: AsJson = False,
) -> None:
    """Make a robot, and print its name and its secret, this once. One that trusts outside tokens needs no secret."""
    access = [dict(zip(("resource", "action"), each.split(":", 1), strict=False)) for each in allow]
    permission = {
        "kind": "project",
        "namespace": project or "*",
        "access": access,
        "repositories": repositories,
        "tags": tags,
    }
    body = {
        "name": name,
        "description": description,
        "level": "project" if project else "system",
        "duration": days,
        "permissions": [permission],
        "trust": _trust(issuer, audience, claim or []),
    }
    made = ask(lambda api: api.post("/robots", body))
    show_made(made, f"{made['name']}\n{made['secret']}", as_json=as_json)


@app.command("rotate")
def rotate_command(
    name: FullName,
    *,
    project: Project = None,
) -> None:
    """Give a robot a new secret, and print it, this once."""

    async def work(api: Api) -> str:
        return str((await api.patch(f"/robots/{await robot_id(api, name, project)}", {}))["secret"])

    typer.echo(ask(work))


@app.command("remove")
@destructive()
def remove_command(
    name: FullName,
    *,
    project: Project = None,
) -> None:
    """Remove a robot; whatever it opened ends within seconds."""

    async def work(api: Api) -> None:
        await api.delete(f"/robots/{await robot_id(api, name, project)}")

    ask(work)
    typer.echo(f"{name} is removed.")


def _trust(issuer: str | None, audience: str | None, claims: list[str]) -> list[dict[str, object]]:
    if issuer is None and audience is None and not claims:
        return []
    rules: dict[str, object] = {}
    for text in claims:
        name, _, value = text.partition("=")
        rules[name] = {"pattern": value} if "*" in value else value
    return [{"issuer": issuer or "", "audience": audience or "", "claims": rules}]


def _permissions(entry: Any) -> str:
    parts = []
    for permission in entry["permissions"]:
        actions = ", ".join(f"{access['resource']}:{access['action']}" for access in permission["access"])
        parts.append(f"{actions} in {_where(permission)}")
    return "; ".join(parts)


def _where(permission: Any) -> str:
    tags = f", tags {permission['tags']}" if permission.get("tags") else ""
    return f"{permission.get('repositories') or permission['namespace']}{tags}"


def _end(entry: Any) -> str:
    if entry["expires_at"] == _FOR_EVER:
        return "never"
    return since(datetime.fromtimestamp(entry["expires_at"], UTC))


async def _level(api: Api, project: str | None) -> str | None:
    return None if project is None else f"Level=project,ProjectID={await project_id(api, project)}"


async def robot_id(api: Api, name: str, project: str | None = None) -> int:
    """Return the number of the robot of this whole name.

    Raises:
        ApiRefused: There is none.
    """
    within = project or (name.partition("$")[2].rpartition("+")[0] or None)
    for robot in await api.every("/robots", q=await _level(api, within)):
        if robot["name"] == name:
            return int(robot["id"])
    shown = f"entrepot robot list{f' --project {within}' if within else ''}"
    raise ApiRefused(f"there is no robot {name}; {shown} shows those that there are, by their whole names")
