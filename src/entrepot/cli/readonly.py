"""`entrepot readonly`: keep a running registry from being changed."""

from __future__ import annotations

import typer

from entrepot.cli.place import located, with_registry
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.given import hinted
from entrepot.metadata.opening import Stores
from entrepot.registry import read_only

app = Noun()


@app.command("on")
def on_command() -> None:
    """Refuse pushes and deletes from now on; every process knows within a second."""
    with_registry(lambda stores: read_only.switch(stores.metadata, on=True))
    typer.echo(hinted("The registry is read-only. `entrepot readonly off` ends it."))


@app.command("off")
def off_command() -> None:
    """Take pushes and deletes again."""
    with_registry(lambda stores: read_only.switch(stores.metadata, on=False))
    if located().storage.maintenance.readonly.enabled:
        typer.echo("The switch is off, but storage.maintenance.readonly in the configuration keeps it read-only.")
        raise typer.Exit(1)
    typer.echo("The registry takes pushes and deletes.")


@app.command("status")
def status_command() -> None:
    """Say whether the registry is read-only, and why."""
    configured = located().storage.maintenance.readonly.enabled
    typer.echo(_status(switched=with_registry(_is_on), configured=configured))


async def _is_on(stores: Stores) -> bool:
    return await read_only.is_on(stores.metadata)


def _status(*, switched: bool, configured: bool) -> str:
    if configured:
        return "on (storage.maintenance.readonly in the configuration)"
    return "on (entrepot readonly on)" if switched else "off"
