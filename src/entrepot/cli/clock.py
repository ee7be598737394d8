"""`entrepot clock`: what the registry thinks of the machine's clock, and the word that it is right."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.place import with_registry
from entrepot.cli.program.classes import Noun
from entrepot.metadata import clock

if TYPE_CHECKING:
    from entrepot.metadata.clock_check import Verdict
    from entrepot.metadata.opening import Stores

app = Noun()


@app.command("show")
def show_command(*, as_json: AsJson = False) -> None:
    """Say whether the clock agrees with what the registry knows of the time."""
    from entrepot.metadata import clock_check

    note, moment, verdict = with_registry(lambda stores: clock_check.look(stores.metadata))
    if as_json:
        believed = None if note is None else clock.text(note.wall)
        ahead = round(verdict.ahead / clock.MICROSECONDS)
        shown = {"now": clock.text(moment.wall), "believed_at": believed, "ahead_seconds": ahead}
        typer.echo(json.dumps({**shown, "reason": verdict.reason}))
    else:
        typer.echo(f"The clock says {clock.text(moment.wall)}. {_said(verdict)}")


@app.command("accept")
def accept_command() -> None:
    """Believe the clock as it is now: data whose time is over by it are removed from then on."""
    verdict = with_registry(_accept)
    typer.echo("The clock is believed." if verdict.reason else "The clock was not in doubt, and is believed.")


async def _accept(stores: Stores) -> Verdict:
    from entrepot.metadata import clock_check
    from entrepot.metadata.events import Source

    return await clock_check.accept(stores.metadata, by=Source(name=getpass.getuser(), credential="operator"))


def _said(verdict: Verdict) -> str:
    return f"{verdict.reason[:1].upper()}{verdict.reason[1:]}" if verdict.reason else "It is believed."
