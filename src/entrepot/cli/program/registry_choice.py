"""Which registry a command means; the one answer for all commands.

The first of these that names one: the options, before or after the command; the variables `ENTREPOT_SERVER`,
`ENTREPOT_DATA` and `ENTREPOT_CONFIG` (or `REGISTRY_CONFIGURATION_PATH`); the saved context. Without any it is the
folder that `REGISTRY_*` variables name, or ./data.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import typer

from entrepot.cli.program import logins, saved_context
from entrepot.cli.program.command_line import given
from entrepot.cli.program.logins import Login, NotSignedIn
from entrepot.cli.program.saved_context import Context, ContextDamaged

SERVER: Final = "ENTREPOT_SERVER"
DATA: Final = "ENTREPOT_DATA"
#: Two names of one thing; the second is registry:2's.
CONFIGS: Final = ("ENTREPOT_CONFIG", "REGISTRY_CONFIGURATION_PATH")


class Why(Enum):
    """What named the registry."""

    OPTION = "the command line"
    VARIABLE = "a variable"
    SAVED = "the saved context"
    DEFAULT = "nothing was named"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """A server that somebody is signed in to, or a folder by itself or by its configuration file."""

    why: Why
    login: Login | None = None
    config: Path | None = None
    data: Path | None = None

    @property
    def name(self) -> str:
        """Return it for people."""
        if self.login is not None:
            return f"{self.login.server} as {self.login.user}" if self.login.user else self.login.server
        named = self.data or self.config
        return str(named.absolute()) if named else "the folder that variables name, or ./data"


def meant() -> Meant:
    """Decide which registry is meant.

    Raises:
        typer.Exit: A server and a folder are named, or nobody has signed in to the server; the reason is on standard
            error.
    """
    try:
        return _by_options() or _by_variables() or _by_context() or Meant(why=Why.DEFAULT)
    except (NotSignedIn, ContextDamaged) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def here_meant() -> Meant:
    """Decide which folder or configuration file is meant, for what is about those alone, and never about a server.

    Raises:
        typer.Exit: A server is named.
    """
    options = given()
    if options.server is not None:
        typer.echo("error: this command looks at a configuration file or a folder, and at no server", err=True)
        raise typer.Exit(2)
    if options.is_named:
        return Meant(why=Why.OPTION, config=options.config, data=options.data)
    context = saved_context.load()
    if context is None or context.server or any(map(os.environ.get, (DATA, *CONFIGS))):
        return Meant(why=Why.DEFAULT)
    return _of(context)


def tell(registry: Meant, name: str | None = None) -> None:
    """Say once which registry was meant, where the command line does not."""
    options = given()
    if not (options.is_named or options.told):
        options.told = True
        saved_ = ", the saved context" if registry.why is Why.SAVED else ""
        typer.echo(f"(in {name or registry.name}{saved_})", err=True)


def tell_at_terminal(registry: Meant, name: str | None = None) -> None:
    """Say it to a person; a program that only looks has no use for it."""
    if sys.stderr.isatty():
        tell(registry, name)


def confirm_saved(command: str) -> None:
    """Ask whether the saved context is the right registry for a command that takes something away.

    Raises:
        typer.Abort: It is not.
    """
    registry = meant()
    if registry.why is not Why.SAVED or given().yes:
        return
    question = f"{command}: in {registry.name}, the saved context?"
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort:
        typer.echo("Nothing was done. Name the registry with --server or --data, or add --yes.", err=True)
        raise typer.Exit(1) from None
    given().told = True


def _by_options() -> Meant | None:
    options = given()
    if options.server is not None:
        if options.config is not None or options.data is not None:
            raise _both()
        return Meant(why=Why.OPTION, login=logins.find(options.server))
    if options.is_named:
        return Meant(why=Why.OPTION, config=options.config, data=options.data)
    return None


def _by_variables() -> Meant | None:
    server, data = (os.environ.get(name) for name in (SERVER, DATA))
    config = next((value for name in CONFIGS if (value := os.environ.get(name))), None)
    if server:
        if data or os.environ.get(CONFIGS[0]):
            raise _both()
        return Meant(why=Why.VARIABLE, login=logins.find(server))
    if data or config:
        return Meant(why=Why.VARIABLE, config=_path(config), data=_path(data))
    return None


def _by_context() -> Meant | None:
    context = saved_context.load()
    if context is None:
        return None
    if context.server:
        return Meant(why=Why.SAVED, login=logins.kept(context.server))
    return _of(context)


def _of(context: Context) -> Meant:
    return Meant(why=Why.SAVED, config=_path(context.config), data=_path(context.data))


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _both() -> typer.Exit:
    typer.echo("error: name a server or a data folder, not both", err=True)
    return typer.Exit(2)
