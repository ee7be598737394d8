"""`entrepot` commands run in this process, on a data folder or over the network after a login."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from entrepot.cli.app import app
from tests.support.server import ADMIN_PASSWORD, Server

#: Runs a command: its words; what it reads (`stdin`), and the exit status it must end with (`status`, 0).
Run = Callable[..., Result]
PLACES = ("folder", "server")


def runner(home: Path, program: Typer = app) -> Run:
    """Give a function that runs a command with a home of its own."""
    command = CliRunner(env={"XDG_CONFIG_HOME": str(home), "COLUMNS": "250"})

    def run(*arguments: str, stdin: str = "", status: int = 0) -> Result:
        done = command.invoke(program, arguments, input=stdin)
        assert done.exit_code == status, f"{arguments}: {done.output} {done.exception!r}"
        return done

    return run


def runner_at(place: str, server: Server, entrepot: Run) -> Run:
    """Give a function that runs commands on the server's folder, or over HTTP as its administrator."""
    words = ["--data", str(server.data)]
    if place == "server":
        entrepot("login", server.url, "-u", "admin", "--password-stdin", stdin=ADMIN_PASSWORD)
        words = ["--server", server.url]
    return lambda *arguments, **more: entrepot(*arguments, *words, **more)


def listed(run: Run, *command: str) -> list[dict[str, Any]]:
    """Return what a list command says as JSON."""
    found = json.loads(run(*command, "--json").stdout)
    assert isinstance(found, list)
    return found


__all__ = ["PLACES", "Result", "Run", "listed", "runner", "runner_at"]
