"""`entrepot admin`: what the account of the administrator needs from the outside."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated

import typer

from entrepot.cli.folder import run
from entrepot.cli.place import located
from entrepot.cli.program.classes import Noun

app = Noun()

_ADMIN = "admin"

FromInput = Annotated[bool, typer.Option("--stdin", help="Read the new password from standard input.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a password up and print it.")]
Account = Annotated[str, typer.Option("--user", help="Another account than the administrator's.")]


@app.command("password")
def password_command(
    *,
    stdin: FromInput = False,
    generate: Generate = False,
    user: Account = _ADMIN,
) -> None:
    """Set a new password. Whoever signed in with the old one is signed out within seconds."""
    from entrepot.bootstrap import commands

    place = located()
    password = _new_password(stdin=stdin, generate=generate)
    if len(password) < (shortest := place.access.passwords.shortest):
        typer.echo(f"error: a password needs at least {shortest} characters", err=True)
        raise typer.Exit(1)
    if not run(lambda: commands.change_password(place, user, password)):
        typer.echo(f"error: there is no account {user!r}", err=True)
        raise typer.Exit(1)
    typer.echo(password if generate else f"The password of {user} is changed.")


def _new_password(*, stdin: bool, generate: bool) -> str:
    if generate:
        return secrets.token_urlsafe(18)
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True))
