"""`entrepot readonly`: keep a running registry from being changed."""

from __future__ import annotations

import typer

from entrepot.cli.place import ConfigFile, Data, located, with_registry
from entrepot.metadata.opening import Stores
from entrepot.registry import read_only

app = typer.Typer(no_args_is_help=True, help="Refuse pushes and deletes for a while, as for a backup; pulls go on.")


@app.command("on")
def on_command(*, config: ConfigFile = None, data: Data = None) -> None:
    """Refuse pushes and deletes from now on; every process knows within a second."""
    with_registry(config, data, lambda stores: read_only.switch(stores.metadata, on=True))
    typer.echo("The registry is read-only. `entrepot readonly off` ends it.")


@app.command("off")
def off_command(*, config: ConfigFile = None, data: Data = None) -> None:
    """Take pushes and deletes again."""
    with_registry(config, data, lambda stores: read_only.switch(stores.metadata, on=False))
    if located(config, data).storage.maintenance.readonly.enabled:
        typer.echo("The switch is off, but storage.maintenance.readonly in the configuration keeps it read-only.")
        raise typer.Exit(1)
    typer.echo("The registry takes pushes and deletes.")


@app.command("status")
def status_command(*, config: ConfigFile = None, data: Data = None) -> None:
    """Say whether the registry is read-only, and why."""
    configured = located(config, data).storage.maintenance.readonly.enabled
    typer.echo(_status(switched=with_registry(config, data, _is_on), configured=configured))


async def _is_on(stores: Stores) -> bool:
    return await read_only.is_on(stores.metadata)


def _status(*, switched: bool, configured: bool) -> str:
    if configured:
        return "on (storage.maintenance.readonly in the configuration)"
    return "on (entrepot readonly on)" if switched else "off"
