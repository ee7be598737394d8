"""The commands and their help, but for the running of `serve` (see `main`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from entrepot.cli.program.classes import Later, Noun, Program
from entrepot.cli.program.command_line import given

_FIRST, _IMAGES, _PEOPLE = "First steps", "Images", "People and rights"
_SPACE, _CARE, _SETUP = "Space", "Care", "Set-up"

_COMMANDS: Final = {
    "serve": Later(_FIRST, "Run the registry.", "entrepot.cli.app:serve"),
    "login": Later(
        _FIRST, "Sign in to a server, which commands mean from then on.", "entrepot.cli.login:login_command"
    ),
    "logout": Later(_FIRST, "Sign out of it.", "entrepot.cli.login:logout_command"),
    "context": Later(_FIRST, "Which registry commands mean: show, use, list, clear.", "entrepot.cli.context"),
    "adopt": Later(_FIRST, "Take over a folder that registry:2 filled.", "entrepot.cli.adopt:adopt_command"),
    "project": Later(_IMAGES, "Projects, and who may read them.", "entrepot.cli.project"),
    "repo": Later(_IMAGES, "Repositories: list, show, remove.", "entrepot.cli.images.repo"),
    "image": Later(_IMAGES, "Images: list, show, remove, copy.", "entrepot.cli.images.image"),
    "tag": Later(_IMAGES, "Tags: list, remove, what they pointed at, restore.", "entrepot.cli.images.tag"),
    "trash": Later(_IMAGES, "What was deleted: list, restore, purge, empty.", "entrepot.cli.images.trash"),
    "immutable": Later(_IMAGES, "Rules for tags that are neither moved nor deleted.", "entrepot.cli.images.immutable"),
    "retention": Later(_IMAGES, "Rules for what is kept; the rest goes to the trash.", "entrepot.cli.images.retention"),
    "blob": Later(_IMAGES, "Why something is still stored, by its digest.", "entrepot.cli.images.blob"),
    "user": Later(_PEOPLE, "People and their accounts.", "entrepot.cli.people.user"),
    "group": Later(_PEOPLE, "Groups of people.", "entrepot.cli.people.group"),
    "member": Later(_PEOPLE, "Members of projects and their roles.", "entrepot.cli.people.member"),
    "role": Later(_PEOPLE, "Roles: sets of permissions.", "entrepot.cli.people.role"),
    "access": Later(_PEOPLE, "Rights: give, list, take back, and ask why.", "entrepot.cli.people.access"),
    "robot": Later(_PEOPLE, "Accounts of machines.", "entrepot.cli.people.robot"),
    "key": Later(_PEOPLE, "API keys, in place of a password.", "entrepot.cli.people.key"),
    "admin": Later(_PEOPLE, "The administrator's password.", "entrepot.cli.people.admin"),
    "directory": Later(
        _PEOPLE, "LDAP, Active Directory: try it, synchronise with it.", "entrepot.cli.people.directory"
    ),
    "usage": Later(_SPACE, "Where the space went, and what deleting would free.", "entrepot.cli.usage"),
    "quota": Later(_SPACE, "How much projects use, and how much they may.", "entrepot.cli.quota"),
    "gc": Later(_SPACE, "Take away what nothing needs.", "entrepot.cli.gc:gc_command"),
    "garbage-collect": Later(
        _SPACE, "The same, as registry:2 writes it.", "entrepot.cli.gc:garbage_collect_command", hidden=True
    ),
    "doctor": Later(_CARE, "Look at everything that is stored, and repair it.", "entrepot.cli.doctor:doctor_command"),
    "backup": Later(_CARE, "Back up a registry while it serves, and restore it.", "entrepot.cli.backup"),
    "job": Later(_CARE, "Work in the background: runs, logs and schedules.", "entrepot.cli.job"),
    "audit": Later(_CARE, "Read, verify and export the audit log.", "entrepot.cli.audit"),
    "node": Later(_CARE, "The nodes of a registry, and taking one out of service.", "entrepot.cli.node"),
    "readonly": Later(_CARE, "Refuse pushes and deletes for a while.", "entrepot.cli.readonly"),
    "clock": Later(_CARE, "Whether the machine's clock is believed.", "entrepot.cli.clock"),
    "config": Later(_SETUP, "Check or show a configuration.", "entrepot.cli.config"),
    "db": Later(_SETUP, "The schema of the metadata, and its upgrades.", "entrepot.cli.db"),
    "storage": Later(_SETUP, "Where blobs lie, and moving them elsewhere.", "entrepot.cli.storage"),
    "layout": Later(_SETUP, "Compare or write registry:2's own files.", "entrepot.cli.layout"),
    "secrets": Later(_SETUP, "The keys that secrets are sealed with.", "entrepot.cli.secret_keys"),
}


class _Entrepot(Program):
    """The program with its commands."""

    known = _COMMANDS


app = Noun(kind=_Entrepot, completion=True)


def serve(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG", help="A configuration file.")] = None,
    *,
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Address to listen on.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Web processes.")] = None,
) -> None:
    """Run the registry: `entrepot serve --help` says more."""
    from entrepot.cli.serve import serve_command

    options = given()
    if options.server is not None:
        typer.echo("error: serve runs a registry here; --server names one elsewhere", err=True)
        raise typer.Exit(2)
    words = {"--listen": listen, "--data": options.data, "--workers": workers}
    given_words = [text for name, value in words.items() if value is not None for text in (name, str(value))]
    file = config or options.config
    raise typer.Exit(serve_command([*given_words, *([] if file is None else [str(file)])]))


@app.callback(invoke_without_command=True)
def root(*, version: Annotated[bool, typer.Option("--version", "-v", help="Print the version.")] = False) -> None:
    """Entrepot: a container image registry, the drop-in successor of registry:2."""
    if version:
        import entrepot

        typer.echo(f"entrepot {entrepot.__version__}")
        raise typer.Exit
