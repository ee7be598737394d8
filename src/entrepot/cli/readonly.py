"""`entrepot readonly`: keep a running registry from being changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from entrepot.cli.management.api import Api
from entrepot.cli.management.place import ask, is_folder
from entrepot.cli.place import located, with_registry
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import hinted

if TYPE_CHECKING:
    from entrepot.metadata.opening import Stores

app = Noun()

_SETTING = "read_only"


@app.command("on")
def on_command() -> None:
    """Refuse pushes and deletes from now on; every process knows within a second."""
    _switch(on=True)
    typer.echo(hinted("The registry is read-only. `entrepot readonly off` ends it."))


@app.command("off")
def off_command() -> None:
    """Take pushes and deletes again."""
    if is_folder():
        _switch(on=False)
        fixed = located().storage.maintenance.readonly.enabled
    elif not (fixed := _is_fixed(_setting())):
        _switch(on=False)
    if fixed:
        typer.echo("The switch is off, but storage.maintenance.readonly in the configuration keeps it read-only.")
        raise typer.Exit(1)
    typer.echo("The registry takes pushes and deletes.")


@app.command("status")
def status_command() -> None:
    """Say whether the registry is read-only, and why."""
    if is_folder():
        configured = located().storage.maintenance.readonly.enabled
        typer.echo(_status(switched=with_registry(_is_on), configured=configured))
    else:
        found = _setting()
        typer.echo(_status(switched=found["value"], configured=_is_fixed(found)))


def _switch(*, on: bool) -> None:
    if not is_folder():
        ask(lambda api: api.put("/configurations", {_SETTING: on}))
        return

    async def work(stores: Stores) -> None:
        from entrepot.registry import read_only

        await read_only.switch(stores.metadata, on=on)

    with_registry(work)


async def _is_on(stores: Stores) -> bool:
    from entrepot.registry import read_only

    return await read_only.is_on(stores.metadata)


def _setting() -> dict[str, Any]:
    """Return the switch of a server: its value, and whether it can be changed."""

    async def work(api: Api) -> dict[str, Any]:
        found: dict[str, Any] = (await api.get("/configurations"))[_SETTING]
        return found

    return ask(work)


def _is_fixed(setting: dict[str, Any]) -> bool:
    return bool(setting["value"]) and not setting["editable"]


def _status(*, switched: bool, configured: bool) -> str:
    if configured:
        return "on (storage.maintenance.readonly in the configuration)"
    return "on (entrepot readonly on)" if switched else "off"
