"""`entrepot db`: the schema of the metadata, and its upgrades."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from entrepot.cli.folder import AsJson, run
from entrepot.cli.place import configured, has_metadata, located, no_registry
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import hinted
from entrepot.telemetry.words import counted
from entrepot.vault.errors import VaultError

if TYPE_CHECKING:
    from entrepot.bootstrap.database_move import KeyOnTheWay
    from entrepot.config import Config
    from entrepot.metadata.move.steps import Moved
    from entrepot.metadata.schema import Schema

T = TypeVar("T")

app = Noun()

Finish = Annotated[
    bool,
    typer.Option("--finish", help="No older program runs any more: take away what only they need, and refuse them."),
]


@app.command("check")
def check_command(*, as_json: AsJson = False) -> None:
    """Say what an upgrade would do, and change nothing. Exits with 1 if one waits, or if this program is too old."""
    from entrepot.bootstrap.databases import schema_of
    from entrepot.metadata import schema

    place = configured()
    if not place.on_server and not (place.data if place.has_folder else place.state).is_dir():
        raise no_registry(place)
    found = run(lambda: schema_of(place))
    state = _state(found)
    if as_json:
        known = None if found is None else asdict(found)
        typer.echo(json.dumps({"database": known, "program": schema.VERSION, "state": state}))
    else:
        typer.echo(hinted(_described(place, found, state)))
    raise typer.Exit(1 if state in ("upgrade waits", "too new") else 0)


@app.command("upgrade")
def upgrade_command(*, finish: Finish = False, as_json: AsJson = False) -> None:
    """Bring the metadata to this program's schema, as a start does; of a SQLite database a copy is made before."""
    from entrepot.bootstrap.databases import schema_of

    place = located()
    before = run(lambda: schema_of(place))
    after = run(lambda: _upgrade(place, finish=finish))
    if as_json:
        typer.echo(json.dumps({"before": None if before is None else before.version, "after": asdict(after)}))
    else:
        typer.echo(_told(place, before, after))


To = Annotated[
    str,
    typer.Option(
        metavar="WHERE",
        envvar="ENTREPOT_MOVE_TO",
        help="An empty database, postgresql://USER:PASSWORD@HOST/DATABASE, or on the way back the data folder of a new "
        "registry. Other users of this machine can read options: a password is safer in ENTREPOT_MOVE_TO.",
    ),
]
GiveUp = Annotated[
    bool,
    typer.Option(
        "--give-up", help="Forget the move, begun or done: the database that is configured may be written again."
    ),
]


@app.command("move")
def move_command(*, to: To = "", give_up: GiveUp = False, as_json: AsJson = False) -> None:
    """Move the metadata from SQLite to PostgreSQL, or back, while the registry serves.

    Every row is compared, and only at the end do writers wait, for some seconds. What was broken off goes on when the
    same command is run again. The database that was left is marked, and nothing writes to it any more.
    """
    from entrepot.bootstrap.database_move import give_up_move, move_database
    from entrepot.cli.progress import watched
    from entrepot.telemetry.progress import Unwatched

    if not to and not give_up:
        raise typer.BadParameter("say where to move to with --to WHERE, or --give-up")
    place = located()
    if give_up:
        run(lambda: _guarded(lambda: give_up_move(place)))
        typer.echo(f"{place.place} may be written again, and does not know of a move.")
        return
    bar = watched()
    with nullcontext() if as_json else bar:
        key, moved = run(lambda: _guarded(lambda: move_database(place, to, Unwatched() if as_json else bar)))
    if as_json:
        typer.echo(json.dumps({"key": asdict(key), **asdict(moved)}))
    else:
        _tell_moved(key, moved, on_server=not place.on_server)


async def _guarded(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do something, and let what is wrong with the secret key be told as other errors are."""
    try:
        return await work()
    except VaultError as error:
        raise OSError(str(error)) from error


def _tell_moved(key: KeyOnTheWay, moved: Moved, *, on_server: bool) -> None:
    typer.echo(
        f"Moved {sum(moved.rows.values()):,} rows of {counted(len(moved.rows), 'table')}, each compared; "
        f"{moved.changed:,} changed meanwhile. Writers waited {moved.held_seconds:.1f} s."
    )
    if on_server and key.is_ours:
        typer.echo(f"The secret key is in {key.where}: name that file in ENTREPOT_SECRET_KEY_FILE, on every node.")
    elif not on_server:
        typer.echo("The secret key is the same: keep ENTREPOT_SECRET_KEY or ENTREPOT_SECRET_KEY_FILE set.")
    setting = "metadata.url" if on_server else "the new folder, without metadata.url,"
    typer.echo(f"Now start the registry again with {setting}. The database that was left takes no writes any more.")


async def _upgrade(place: Config, *, finish: bool) -> Schema:
    from entrepot.bootstrap.databases import opened_databases, schema_of
    from entrepot.metadata import schema

    if finish and (found := await schema_of(place)) is not None and found.version < schema.VERSION:
        # Refused before anything is changed: whoever finishes must know that all programs are new.
        raise schema.not_upgraded()
    async with opened_databases(place) as stores:
        if finish:
            return await schema.finish(stores.metadata)
        found = await schema.find(stores.metadata)
        assert found is not None, "opening it builds it"
        return found


def _state(found: Schema | None) -> str:
    from entrepot.metadata import schema

    if found is None:
        return "new"
    if found.version < schema.VERSION:
        return "upgrade waits"
    if max(found.min_reader, found.min_writer) > schema.VERSION:
        return "too new"
    if found.version > schema.VERSION:
        return "newer"
    return "finished" if found.finished else "current"


def _described(place: Config, found: Schema | None, state: str) -> str:
    from entrepot.metadata import schema

    if found is None:
        where = f"{place.place} has {'an empty' if has_metadata(place) else 'no'} database"
        return f"{where}: the next start builds it with schema {schema.VERSION}, and no upgrade waits."
    needed = max(found.min_reader, found.min_writer)
    what = f"The database has schema {found.version}, for programs of schema {needed} and newer; this one has "
    hints = {
        "upgrade waits": "entrepot db upgrade brings it up to date, and so does the next start.",
        "too new": "Start a newer Entrepot, or put back the copy made before the upgrade.",
        "newer": "A newer Entrepot has upgraded it, and this one may be used beside it.",
        "current": "It is up to date. Once no older program runs any more: entrepot db upgrade --finish.",
        "finished": "It is up to date, and nothing is to be done.",
    }
    return f"{what}{schema.VERSION}. {hints[state]}"


def _told(place: Config, before: Schema | None, after: Schema) -> str:
    from entrepot.metadata.opening import METADATA_NAME

    if before is not None and before.version < after.version:
        done = f"Upgraded from schema {before.version} to {after.version}."
        if place.on_server:
            return done
        copy = place.state / f"{METADATA_NAME}.schema-{before.version}"
        return f"{done} The database as it was is in {copy}."
    if before is not None and after.finished and not before.finished:
        return f"Schema {after.version} is finished: older programs are refused from now on."
    return f"The database has schema {after.version}; there was nothing to do."
