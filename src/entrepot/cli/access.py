"""`entrepot access`: why somebody may do something, or may not."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from entrepot.cli.folder import AsJson, printable
from entrepot.cli.management.place import ConfigFile, Data, Server, ask

app = typer.Typer(no_args_is_help=True, help="Rights: ask why.")

User = Annotated[str, typer.Argument(metavar="USER", help="Whom it is about; anonymous for nobody in particular.")]
Action = Annotated[str, typer.Argument(metavar="ACTION", help="pull, push, delete, or a permission: tag:create.")]
Target = Annotated[
    str,
    typer.Argument(metavar="REPOSITORY", help="team/app, team/app:v1, a project as team/; nothing for the registry."),
]


@app.callback()
def root() -> None:
    """Keep `explain` a command of its own while it is the only one."""


@app.command("explain")
def explain_command(
    user: User,
    action: Action,
    target: Target = "",
    *,
    robot: Annotated[bool, typer.Option("--robot", help="USER is a robot.")] = False,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Say which grant allows something, or why none does; exit status 1 for no."""
    found = ask(
        server,
        config,
        data,
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
