"""`entrepot storage`: where the blobs lie, and how they get elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from entrepot.cli.folder import AsJson, run
from entrepot.cli.place import located
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import counted

if TYPE_CHECKING:
    from entrepot.lifecycle.storage_move import MoveTally

app = Noun()


@app.command("move")
def move_command(*, as_json: AsJson = False) -> None:
    """Move all blobs that lie in `storage.also` to where the configuration keeps them now, while nodes serve.

    Every node must name both stores before. It can be stopped and run again at any time, and is done when nothing is
    left to be moved. Exits with 1 if something could not be.
    """
    from entrepot.bootstrap.storage_move import move_blobs

    place = located()
    from entrepot.cli.progress import watched

    with watched("blobs looked at") as bar:
        done = run(lambda: move_blobs(place, bar))
    typer.echo(json.dumps(asdict(done)) if as_json else _told(done))
    raise typer.Exit(1 if done.failed else 0)


def _told(done: MoveTally) -> str:
    text = f"moved {counted(done.moved, 'blob')}, {done.moved_bytes:,} bytes; {done.there:,} were there already"
    if done.lost:
        text += f"; {done.lost:,} are known to be lost"
    if done.failed:
        return f"{text}; {done.failed:,} could not be moved: run entrepot doctor, then this again"
    return f"{text}. When this moves nothing any more, take storage.also out of the configuration of every node"
