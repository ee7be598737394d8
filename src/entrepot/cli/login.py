"""`entrepot login` and `entrepot logout`: an API key for this machine in place of a password."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from entrepot.cli.folder import run
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.end_times import end_in
from entrepot.cli.program import logins, saved_context
from entrepot.cli.program.saved_context import Context
from entrepot.outbound.errors import OutboundError

_DAYS = 90

ServerUrl = Annotated[str, typer.Argument(metavar="URL", help="The server: https://registry.example.org")]


def login_command(
    server: ServerUrl,
    *,
    user: Annotated[str | None, typer.Option("--username", "-u", help="Name of the account.")] = None,
    stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")] = False,
    days: Annotated[int, typer.Option("--days", min=1, help="Days until the login ends.")] = _DAYS,
    cert: Annotated[
        Path | None,
        typer.Option("--cert", metavar="FILE", help="Certificate (PEM) to show to a server that asks for one."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Its key, without a password; else it is in --cert.")
    ] = None,
) -> None:
    """Sign in to a server: makes an API key there and keeps it where only you can read it."""
    if key is not None and cert is None:
        raise typer.BadParameter("--key is the key of --cert; give both")
    name = user or typer.prompt("Username")
    password = sys.stdin.readline().rstrip("\n") if stdin else typer.prompt("Password", hide_input=True)

    async def work() -> logins.Login:
        logins.load()  # before there is a key that could not be kept
        from entrepot.cli.management.remote import with_password

        unsigned = logins.Login(logins.normal(server), name, "", 0, _absolute(cert), _absolute(key))
        made = await _key(with_password(unsigned, password), days)
        login = replace(unsigned, key=made["secret"], key_id=made["id"])
        logins.remember(login)
        saved_context.save(Context(server=login.server))
        return login

    login = run(work)
    typer.echo(f"Signed in to {login.server} as {name}, for {days} days.")


def logout_command(
    server: Annotated[str | None, typer.Argument(metavar="URL", help="The one that commands mean, without it.")] = None,
) -> None:
    """Sign out: removes the API key at the server and here; here also when the server cannot be reached."""

    async def work() -> logins.Login:
        from entrepot.cli.management.remote import with_login

        login = logins.find(server or _current())
        try:
            await with_login(login).delete(f"/users/current/keys/{login.key_id}")
        except (ApiRefused, OutboundError) as refused:
            typer.echo(f"warning: the key could not be removed at {login.server}: {refused}", err=True)
        logins.forget(login.server)
        saved_context.clear(login.server)
        return login

    login = run(work)
    typer.echo(f"Signed out of {login.server}.")


def _absolute(file: Path | None) -> str:
    return "" if file is None else str(file.absolute())


def _current() -> str | None:
    context = saved_context.load()
    return None if context is None else context.server


async def _key(api: Api, days: int) -> Any:
    # To the microsecond: jobs that sign in at the same time each need a key of their own name.
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    made = await api.post(
        "/users/current/keys", {"name": f"entrepot login on {socket.gethostname()}, {at}", "expires_at": end_in(days)}
    )
    if not (isinstance(made, dict) and {"secret", "id"} <= made.keys()):
        raise ApiRefused("the server made no key, so it is no Entrepot; is the address right?")
    return made
