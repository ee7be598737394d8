"""The commands and their help, but for the running of `serve` (see `main`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import entrepot
from entrepot.cli import (
    access,
    admin,
    audit,
    backup,
    blob,
    config,
    db,
    directory,
    group,
    immutable,
    job,
    key,
    layout,
    member,
    project,
    quota,
    readonly,
    retention,
    robot,
    role,
    secret_keys,
    tag,
    trash,
    usage,
    user,
)
from entrepot.cli.adopt import adopt_command
from entrepot.cli.doctor import doctor_command
from entrepot.cli.gc import garbage_collect_command, gc_command
from entrepot.cli.login import login_command, logout_command
from entrepot.cli.serve import serve_command

app = typer.Typer(
    no_args_is_help=True,
    help="Entrepot, a container image registry: a faster drop-in successor of registry:2.",
)

app.command("login")(login_command)
app.command("logout")(logout_command)
app.add_typer(user.app, name="user")
app.add_typer(group.app, name="group")
app.add_typer(project.app, name="project")
app.add_typer(quota.app, name="quota")
app.add_typer(member.app, name="member")
app.add_typer(robot.app, name="robot")
app.add_typer(key.app, name="key")
app.add_typer(role.app, name="role")
app.add_typer(access.app, name="access")
app.add_typer(readonly.app, name="readonly")
app.add_typer(admin.app, name="admin")
app.add_typer(audit.app, name="audit")
app.add_typer(backup.app, name="backup")
app.add_typer(blob.app, name="blob")
app.add_typer(config.app, name="config")
app.add_typer(db.app, name="db")
app.add_typer(directory.app, name="directory")
app.add_typer(immutable.app, name="immutable")
app.add_typer(job.app, name="job")
app.add_typer(layout.app, name="layout")
app.add_typer(retention.app, name="retention")
app.add_typer(secret_keys.app, name="secrets")
app.add_typer(tag.app, name="tag")
app.add_typer(trash.app, name="trash")
app.add_typer(usage.app, name="usage")
app.command("adopt")(adopt_command)
app.command("doctor")(doctor_command)
app.command("gc")(gc_command)
app.command("garbage-collect")(garbage_collect_command)


@app.command("serve")
def serve(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG", help="A configuration file.")] = None,
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Address to listen on.")] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Folder for the data.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Web processes.")] = None,
) -> None:
    """Run the registry: `entrepot serve --help` says more."""
    options = {"--listen": listen, "--data": data, "--workers": workers}
    given = [text for name, value in options.items() if value is not None for text in (name, str(value))]
    raise typer.Exit(serve_command([*given, *([] if config is None else [str(config)])]))


@app.callback(invoke_without_command=True)
def root(*, version: Annotated[bool, typer.Option("--version", "-v", help="Print the version.")] = False) -> None:
    """Print the version, if asked."""
    if version:
        typer.echo(f"entrepot {entrepot.__version__}")
        raise typer.Exit
