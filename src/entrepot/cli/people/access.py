"""`entrepot access`: what was given to whom beyond the members of projects, and why somebody may do something."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api
from entrepot.cli.management.end_times import Days, end_in
from entrepot.cli.management.output import Column, printable, show, show_made, when
from entrepot.cli.management.place import ask
from entrepot.cli.people.group import group_id
from entrepot.cli.people.robot import robot_id
from entrepot.cli.people.role import role_id
from entrepot.cli.people.user import user_id
from entrepot.cli.program.classes import Noun, destructive

app = Noun()

User = Annotated[str, typer.Argument(metavar="USER", help="Whom it is about; anonymous for nobody in particular.")]
Action = Annotated[str, typer.Argument(metavar="ACTION", help="pull, push, delete, or a permission: tag:create.")]
Target = Annotated[
    str,
    typer.Argument(metavar="REPOSITORY", help="team/app, team/app:v1, a project as team/; nothing for the registry."),
]
Role = Annotated[str, typer.Argument(metavar="ROLE", help="Name of the role: developer, or one that was made here.")]
ToUser = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Give it to this person.")]
ToGroup = Annotated[str | None, typer.Option("--group", metavar="NAME", help="Give it to the people of this group.")]
ToRobot = Annotated[str | None, typer.Option("--robot", metavar="NAME", help="Give it to this robot.")]
ToSignedIn = Annotated[bool, typer.Option("--signed-in", help="Give it to whoever is signed in.")]
ToAnyone = Annotated[bool, typer.Option("--anyone", help="Give it to everybody, signed in or not.")]
Project = Annotated[str | None, typer.Option("--project", help="Where it holds; without it, everywhere.")]
Repositories = Annotated[str | None, typer.Option("--repositories", help="Pattern over the repositories' full names.")]
Tags = Annotated[str | None, typer.Option("--tags", help="Pattern over the tags.")]
Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the grant, as the list shows it.")]


@app.command("give")
def give_command(
    role: Role,
    *,
    user: ToUser = None,
    group: ToGroup = None,
    robot: ToRobot = None,
    signed_in: ToSignedIn = False,
    anyone: ToAnyone = False,
    project: Project = None,
    repositories: Repositories = None,
    tags: Tags = None,
    days: Days = None,
    as_json: AsJson = False,
) -> None:
    """Give a role to somebody: everywhere, or on a project, on repositories, on tags, for some days."""
    if sum(map(bool, (user, group, robot, signed_in, anyone))) != 1:
        typer.echo("error: say to whom: one of --user, --group, --robot, --signed-in and --anyone", err=True)
        raise typer.Exit(2)
    audience = "authenticated" if signed_in else "anyone" if anyone else None

    async def work(api: Api) -> dict[str, Any]:
        body = {
            "role_id": await role_id(api, role),
            "principal_id": await _receiver(api, user, group, robot),
            "audience": audience,
            "project_name": project,
            "repositories": repositories,
            "tags": tags,
            "expires_at": end_in(days),
        }
        place = await api.create("/grants", body)
        return dict(await api.get(place)) if as_json else {}

    made = ask(work)
    who = user or group or robot or ("whoever is signed in" if signed_in else "everybody")
    show_made(made, f"{who} has the role {role} {_where(project, repositories, tags)}.", as_json=as_json)


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List everything that was given, members of projects and robots included."""
    columns: dict[str, Column] = {
        "id": "id",
        "to": lambda entry: entry["principal_name"] or entry["audience"],
        "kind": "principal_kind",
        "what": lambda entry: entry["role_name"] or _texts(entry["permissions"]),
        "where": lambda entry: _where(entry["project_name"], entry["repositories"], entry["tags"]),
        "ends": when("expires_at"),
        "because of": "origin",
    }
    show(ask(lambda api: api.every("/grants")), columns, as_json=as_json, of="grant")


@app.command("take")
@destructive()
def take_command(grant: Id) -> None:
    """Take back what was given."""
    ask(lambda api: api.delete(f"/grants/{grant}"))
    typer.echo(f"Grant {grant} is taken back.")


@app.command("explain")
def explain_command(
    user: User,
    action: Action,
    target: Target = "",
    *,
    robot: Annotated[bool, typer.Option("--robot", help="USER is a robot.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which grant allows something, or why none does; exit status 1 for no."""
    if not user:
        typer.echo("error: name the account; anonymous is whoever has not signed in", err=True)
        raise typer.Exit(2)
    robot = robot or "$" in user  # which no person's name has
    found = ask(
        lambda api: api.get("/permissions/explain", user=user, action=action, target=target, robot=robot),
    )
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        typer.echo(f"{'yes' if found['allowed'] else 'no'}: {printable(found['reason'])}")
        for line in found["trace"]:
            typer.echo(f"  {printable(line)}")
    if not found["allowed"]:
        raise typer.Exit(1)


async def _receiver(api: Api, user: str | None, group: str | None, robot: str | None) -> int | None:
    if user is not None:
        return await user_id(api, user)
    if group is not None:
        return await group_id(api, group)
    return None if robot is None else await robot_id(api, robot)


def _where(project: str | None, repositories: str | None, tags: str | None) -> str:
    named = {"project": project, "repositories": repositories, "tags": tags}
    return " ".join(f"on {what} {name}" for what, name in named.items() if name) or "everywhere"


def _texts(permissions: list[Any]) -> str:
    return ", ".join(f"{each['resource']}:{each['action']}" for each in permissions)
