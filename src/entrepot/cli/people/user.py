"""`entrepot user`: people and their accounts."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.local import NOWHERE
from entrepot.cli.management.output import Column, show, show_made
from entrepot.cli.management.place import ask
from entrepot.cli.people.htpasswd import import_command
from entrepot.cli.program.classes import Noun, destructive

app = Noun()
app.command("import-htpasswd")(import_command)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name the person signs in with.")]
Email = Annotated[str, typer.Option("--email", help="Address of the person.")]
RealName = Annotated[str, typer.Option("--realname", help="The person's full name.")]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a password up and print it.")]


@app.command("list")
def list_command(
    *,
    search: Annotated[str | None, typer.Option("--search", help="Only names that contain this.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the accounts of people."""
    query = None if search is None else f"username=~{search}"
    found = ask(lambda api: api.every("/users", q=query))
    columns: dict[str, Column] = {
        "id": "user_id",
        "name": "username",
        "email": "email",
        "admin": _is_admin,
        "from": "provider",
        "state": _state,
    }
    show(found, columns, as_json=as_json)


def _is_admin(entry: Any) -> bool:
    """Tell whether somebody here, or their provider, made it an administrator."""
    return bool(entry["sysadmin_flag"] or entry["admin_role_in_auth"])


def _state(entry: Any) -> str:
    """Say whether an account works; of a provider that cannot be asked again, until when."""
    unasked = entry["provider"].startswith("oidc:") and not entry["provider_asked_at"]
    ends = entry["works_until"] if unasked and entry["state"] == "active" else None
    return f"{entry['state']} until {ends[:16].replace('T', ' ')} UTC, not asked again" if ends else entry["state"]


@app.command("create")
def create_command(
    name: Name,
    *,
    email: Email = "",
    realname: RealName = "",
    admin: Annotated[bool, typer.Option("--admin", help="Let the account do everything.")] = False,
    stdin: Stdin = False,
    generate: Generate = False,
    as_json: AsJson = False,
) -> None:
    """Create an account."""
    password = new_password(stdin=stdin, generate=generate)

    async def work(api: Api) -> dict[str, Any]:
        body = {"username": name, "email": email, "realname": realname or name, "password": password, "comment": ""}
        place = await api.create("/users", body)
        if admin:
            await api.put(f"{place}/sysadmin", {"sysadmin_flag": True})
        secret = {"password": password} if generate else {}
        return {**await api.get(place), **secret} if as_json else {}

    show_made(ask(work), password if generate else f"{name} can sign in now.", as_json=as_json)


@app.command("remove")
@destructive()
def remove_command(name: Name) -> None:
    """Remove an account with its keys and rights. What it pushed stays."""

    async def work(api: Api) -> None:
        await api.delete(f"/users/{await user_id(api, name)}")

    ask(work)
    typer.echo(f"{name} is removed.")


@app.command("admin")
def admin_command(
    name: Name,
    *,
    grant: Annotated[bool, typer.Option("--grant/--revoke", help="Give the right to do everything, or take it.")],
) -> None:
    """Let an account do everything, or no longer."""

    async def work(api: Api) -> None:
        await api.put(f"/users/{await user_id(api, name)}/sysadmin", {"sysadmin_flag": grant})

    ask(work)
    typer.echo(f"{name} {'may do everything' if grant else 'is an administrator no longer'}.")


@app.command("password")
def password_command(
    name: Name,
    *,
    stdin: Stdin = False,
    generate: Generate = False,
) -> None:
    """Give an account a new password. Whoever signed in with the old one is signed out within seconds."""
    password = new_password(stdin=stdin, generate=generate)

    async def work(api: Api) -> None:
        await api.put(f"/users/{await user_id(api, name)}/password", {"new_password": password})

    ask(work)
    typer.echo(password if generate else f"The password of {name} is changed.")


@app.command("reset-link")
def reset_link_command(name: Name) -> None:
    """Make a link with which somebody sets their password once, within half an hour, and print it.

    Made on the data folder it begins with the path, unless http.host says under which address browsers find it.
    """

    async def work(api: Api) -> str:
        return str((await api.post(f"/users/{await user_id(api, name)}/reset_link"))["link"])

    typer.echo(ask(work).removeprefix(f"http://{NOWHERE}"))


@app.command("second-factor-off")
@destructive()
def second_factor_off_command(name: Name) -> None:
    """Turn the second factor off for somebody who has lost app, keys and recovery codes."""

    async def work(api: Api) -> None:
        await api.delete(f"/users/{await user_id(api, name)}/second_factor")

    ask(work)
    typer.echo(f"{name} signs in with the password alone.")


@app.command("disable")
@destructive()
def disable_command(name: Name) -> None:
    """Close an account: it signs in no more, and what it opened ends within seconds."""
    ask(lambda api: _set_disabled(api, name, disabled=True))
    typer.echo(f"{name} cannot sign in any more.")


@app.command("enable")
def enable_command(name: Name) -> None:
    """Open an account again; sessions and tokens of before stay ended."""
    ask(lambda api: _set_disabled(api, name, disabled=False))
    typer.echo(f"{name} can sign in again.")


@app.command("show")
def show_command(name: Name, *, as_json: AsJson = False) -> None:
    """Show an account."""

    async def work(api: Api) -> Any:
        return await api.get(f"/users/{await user_id(api, name)}")

    found = ask(work)
    show(
        [found],
        {key: key for key in ("user_id", "username", "email", "realname", "sysadmin_flag", "admin_role_in_auth")},
        as_json=as_json,
    )


async def _set_disabled(api: Api, name: str, *, disabled: bool) -> None:
    await api.put(f"/users/{await user_id(api, name)}/disabled", {"disabled": disabled})


async def user_id(api: Api, name: str) -> int:
    """Return the number of the account of this name.

    Raises:
        ApiRefused: There is none.
    """
    for found in await api.get("/users", q=f'username="{name}"', page_size=2):
        if found["username"] == name:
            return int(found["user_id"])
    raise ApiRefused(f"there is no account {name}; entrepot user list shows all")


def new_password(*, stdin: bool, generate: bool) -> str:
    """Return the password that a command sets, from wherever its options say."""
    if generate:
        return secrets.token_urlsafe(18)
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True))
