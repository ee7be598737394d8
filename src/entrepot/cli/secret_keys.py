"""`entrepot secrets`: the keys that secrets in the database are sealed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from entrepot.cli.folder import run
from entrepot.cli.place import located
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import counted
from entrepot.vault.errors import VaultError

if TYPE_CHECKING:
    from entrepot.config import Config
    from entrepot.vault.master import KeySource
    from entrepot.vault.rotation import Rotated

app = Noun()


@app.command("rotate")
def rotate_command() -> None:
    """Seal every secret anew, with new keys. May run beside a serving registry, and again after it was broken off."""
    from entrepot.bootstrap.databases import secret_key_of

    place = located()
    try:
        source = secret_key_of(place)
        done = run(lambda: _rotate(place, source))
    except VaultError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    _tell(done, source)


async def _rotate(place: Config, source: KeySource) -> Rotated:
    from entrepot.bootstrap.databases import opened_databases
    from entrepot.metadata.events import Source
    from entrepot.vault.rotation import rotate

    async with opened_databases(place) as stores:
        return await rotate(stores.metadata, source, Source(name="operator", credential="command line"))


def _tell(done: Rotated, source: KeySource) -> None:
    from entrepot.vault.master import FILE_VARIABLE, VARIABLE

    typer.echo(f"{counted(done.secrets, 'secret')} sealed again; {counted(done.data_keys, 'data key')} left.")
    if done.new_master:
        typer.echo(f"The secret key in {source} is a new one; keep a copy of it apart from the database's.")
    else:
        typer.echo(f"Everything is wrapped with the first key of {source}; keys behind it are not needed any more.")
    for row in done.unreadable:
        typer.echo(f"error: {row} does not open: it was changed, or sealed with a key that is gone", err=True)
    if done.unreadable:
        typer.echo(
            f"Enter these anew, or restore {VARIABLE} or {FILE_VARIABLE} of before and run this again.", err=True
        )
        raise typer.Exit(1)
