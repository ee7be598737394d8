"""`entrepot context`: the registry that commands mean where nothing names one."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.program import logins, saved_context
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import given
from entrepot.cli.program.registry_choice import Why, meant
from entrepot.cli.program.saved_context import Context

app = Noun()


@app.command("show")
def show_command(*, as_json: AsJson = False) -> None:
    """Show which registry commands mean here, and what says so."""
    registry = meant()
    if as_json:
        login = registry.login
        found = {
            "server": login.server if login else None,
            "user": login.user if login else None,
            "config": _text(registry.config),
            "data": _text(registry.data),
            "because_of": registry.why.name.lower(),
        }
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{registry.name} ({registry.why.value})")


@app.command("use")
def use_command() -> None:
    """Save the registry that --server, --data or --config names, for all commands that name none."""
    options = given()
    if not options.is_named:
        typer.echo("error: name it: entrepot context use --server URL, or --data DIR, or --config FILE", err=True)
        raise typer.Exit(2)
    registry = meant()  # which also looks whether somebody is signed in to the server
    if registry.login is not None:
        saved_context.save(Context(server=registry.login.server))
    else:
        saved_context.save(Context(config=_text(registry.config), data=_text(registry.data)))
    typer.echo(f"Commands mean {registry.name} from now on.")
    if variable := next((name for name in _VARIABLES if os.environ.get(name)), None):
        typer.echo(f"warning: the variable {variable} is set, which counts more here", err=True)


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the servers that you have signed in to, and the saved context."""
    current = saved_context.load()
    known = [Context(server=login.server) for login in logins.load()]
    if current is not None and current not in known:
        known.append(current)
    if as_json:
        typer.echo(json.dumps([{**asdict(one), "current": one == current} for one in known]))
        return
    for one in known:
        typer.echo(f"{'*' if one == current else ' '} {one.server or one.data or one.config}")


@app.command("clear")
def clear_command() -> None:
    """Forget what was chosen; logins stay, and the latest of them counts again."""
    saved_context.clear()
    left = saved_context.load()
    typer.echo(f"Commands mean {left.server} from now on." if left else f"Nothing is saved: {Why.DEFAULT.value}.")


_VARIABLES = ("ENTREPOT_SERVER", "ENTREPOT_DATA", "ENTREPOT_CONFIG", "REGISTRY_CONFIGURATION_PATH")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
