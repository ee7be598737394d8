"""`entrepot backup`: backups of a registry, made while it serves, and what can be done with them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from entrepot.cli.folder import AsJson, run
from entrepot.cli.management.output import table
from entrepot.cli.place import configured, located
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import given
from entrepot.metadata import clock
from entrepot.telemetry.progress import Progress, Unwatched
from entrepot.telemetry.words import counted, since, spelt
from entrepot.vault.errors import VaultError

if TYPE_CHECKING:
    from entrepot.backup.catalogue import BackupInfo
    from entrepot.backup.prune import Pruned
    from entrepot.backup.restore import Restored
    from entrepot.backup.sealed_pieces import Pieces
    from entrepot.backup.verify import Verified
    from entrepot.bootstrap.backups import Clouds
    from entrepot.bootstrap.restoration import Newer
    from entrepot.config import Config

T = TypeVar("T")

_LATEST = "latest"

_SHOWN = 50

app = Noun()

Target = Annotated[
    str,
    typer.Argument(
        metavar="BACKUPS",
        help="The folder that holds the backups, s3://BUCKET/PREFIX or azure://CONTAINER/PREFIX.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The file with the key of encrypted backups: openssl rand -base64 32."),
]
Which = Annotated[
    str, typer.Option("--backup", metavar="ID", help="Which backup; the newest one, unless another is named.")
]


@app.command("create")
def create_command(target: Target, *, key: KeyFile = None, as_json: AsJson = False) -> None:
    """Back up the metadata and every blob that the backups do not have yet. Exits with 1 if any blob is lost."""
    from entrepot.bootstrap.backups import create_backup

    place = located(on_server="entrepot job start backup --watch")
    info = _watched(lambda progress: create_backup(place, target, key, progress), as_json=as_json)
    if as_json:
        typer.echo(json.dumps(clock.told(asdict(info))))
    else:
        _show_created(info, place, encrypted=key is not None)
    raise typer.Exit(1 if info.lost else 0)


@app.command("list")
def list_command(target: Target, *, key: KeyFile = None, as_json: AsJson = False) -> None:
    """List the backups, oldest first."""
    from entrepot.backup.catalogue import Catalogue

    found = _run(lambda: _with_pieces(target, key, lambda pieces: Catalogue(pieces).list()))
    if as_json:
        typer.echo(json.dumps([clock.told(asdict(info)) for info in found]))
        return
    rows = [
        [
            info.id,
            since(datetime.fromtimestamp(info.created_at / clock.MICROSECONDS, UTC)),
            f"{info.blobs:,}",
            spelt(info.bytes),
            f"{counted(info.new_blobs, 'blob')}, {spelt(info.new_bytes)}",
            f"{counted(len(info.lost), 'blob')} lost" if info.lost else "yes",
        ]
        for info in found
    ]
    for line in table(["id", "made", "blobs", "size", "new", "complete"], rows):
        typer.echo(line)


@app.command("verify")
def verify_command(
    target: Target,
    *,
    backup: Which = _LATEST,
    every: Annotated[bool, typer.Option("--all", help="Every backup, one after the other.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look only whether the pieces of blobs are there, with the right length.")
    ] = False,
    remove: Annotated[
        bool,
        typer.Option("--remove-damaged", help="Remove damaged pieces, so that the next backup brings them again."),
    ] = False,
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Read backups again. Exits with 1 if anything is missing or damaged; each piece is named."""
    from entrepot.backup.catalogue import Catalogue
    from entrepot.backup.verify import Verification, remove_damaged
    from entrepot.bootstrap.backups import opened_pieces

    async def work(progress: Progress) -> list[Verified]:
        async with opened_pieces(target, key, clouds=_clouds()) as pieces:
            catalogue = Catalogue(pieces)
            wanted = await catalogue.list() if every else [await catalogue.get(backup)]
            found = [await Verification(pieces, info, progress, quick=quick).run() for info in wanted]
            if remove:
                await remove_damaged(pieces, [fault for one in found for fault in one.faults])
            return found

    found = _watched(work, as_json=as_json)
    faults = sum(len(one.faults) for one in found)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
    else:
        _show_verified(found)
    raise typer.Exit(1 if faults else 0)


@app.command("restore")
def restore_command(
    target: Target,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The folder to restore into: an empty or a new one. Without it: the empty database and the empty "
            "folder or bucket that --config names.",
        ),
    ] = None,
    *,
    backup: Which = _LATEST,
    key: KeyFile = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Restore what is there when pieces are missing or damaged.")
    ] = False,
    keep_storage: Annotated[
        bool,
        typer.Option("--keep-storage", help="Only the database was lost: keep the blobs that are there."),
    ] = False,
    newer: Annotated[
        bool,
        typer.Option("--take-newer", help="With --keep-storage: take in what was pushed after the backup, too."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back; may be stopped and run again. Exits with 1 if anything is lost."""
    from entrepot.bootstrap.backups import opened_pieces
    from entrepot.bootstrap.restoration import Newer, find_newer, restore_backup, restore_registry, take_newer

    if newer and (folder is None or not keep_storage):
        raise typer.BadParameter("--take-newer goes with DIR and --keep-storage")
    if folder is None and given().config is None:
        raise typer.BadParameter("name the folder to restore into, or with --config the registry")
    place = configured() if folder is None else None

    async def work(progress: Progress) -> tuple[Restored, Newer]:
        async with opened_pieces(target, key, clouds=_clouds()) as pieces:
            how = {"incomplete": incomplete, "keep_storage": keep_storage}
            if folder is None:
                assert place is not None
                return await restore_registry(place, pieces, backup, progress, **how), Newer()
            restored = await restore_backup(pieces, backup, folder, progress, **how)
        if not keep_storage:
            return restored, Newer()
        return restored, await (take_newer(folder, progress) if newer else find_newer(folder))

    restored, found = _watched(work, as_json=as_json)
    if as_json:
        typer.echo(json.dumps({**clock.told(asdict(restored)), "newer": asdict(found)}))
    else:
        _show_restored(restored, found, place or folder, taken=newer)
    raise typer.Exit(1 if restored.lost else 0)


@app.command("prune")
def prune_command(
    target: Target,
    *,
    last: Annotated[int, typer.Option("--keep-last", min=0, metavar="N", help="Keep the newest N.")] = 0,
    daily: Annotated[int, typer.Option("--keep-daily", min=0, metavar="N", help="And the newest of N days.")] = 0,
    weekly: Annotated[int, typer.Option("--keep-weekly", min=0, metavar="N", help="And the newest of N weeks.")] = 0,
    monthly: Annotated[int, typer.Option("--keep-monthly", min=0, metavar="N", help="And of N months.")] = 0,
    yearly: Annotated[int, typer.Option("--keep-yearly", min=0, metavar="N", help="And of N years.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove backups but those that are to be kept, and the pieces that only they needed."""
    from entrepot.backup.prune import Keep, prune
    from entrepot.bootstrap.backups import opened_pieces

    keep = Keep(last=last, daily=daily, weekly=weekly, monthly=monthly, yearly=yearly)
    if keep.is_empty:
        raise typer.BadParameter("say which backups to keep, for example --keep-last 3 --keep-daily 7")

    async def work(progress: Progress) -> Pruned:
        async with opened_pieces(target, key, clouds=_clouds()) as pieces:
            return await prune(pieces, keep, progress, dry_run=dry_run)

    done = _watched(work, as_json=as_json)
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    verb = "would be removed" if dry_run else "removed"
    gone = f"{counted(done.backups, 'backup')} and {counted(done.pieces, 'piece')} ({spelt(done.bytes)})"
    typer.echo(f"{gone} {verb}; {done.kept} kept.")


def _clouds() -> Clouds | None:
    """Say how buckets are reached, by the configuration that is named; else as AWS's own programs find out."""
    from entrepot.bootstrap.backups import reached_by

    return None if given().config is None else reached_by(configured())


async def _with_pieces(target: str, key: Path | None, work: Callable[[Pieces], Awaitable[T]]) -> T:
    from entrepot.bootstrap.backups import opened_pieces

    async with opened_pieces(target, key, clouds=_clouds()) as pieces:
        return await work(pieces)


def _watched(work: Callable[[Progress], Coroutine[Any, Any, T]], *, as_json: bool) -> T:
    """Do long work under a bar."""
    from entrepot.cli.progress import watched

    bar = watched()
    with nullcontext() if as_json else bar:
        return _run(lambda: work(Unwatched() if as_json else bar))


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def guarded() -> T:
        try:
            return await work()
        except (VaultError, TimeoutError) as error:
            reason = str(error) or "a collection keeps the turn to remove bytes; try again when it is done"
            raise OSError(reason) from error

    return run(guarded)


def _time(at: int) -> str:
    return f"{datetime.fromtimestamp(at / clock.MICROSECONDS, UTC):%Y-%m-%d %H:%M:%S}"


def _show_created(info: BackupInfo, place: Config, *, encrypted: bool) -> None:
    typer.echo(
        f"Backup {info.id}: {counted(info.blobs, 'blob')}, {spelt(info.bytes)}, of which "
        f"{counted(info.new_blobs, 'blob')} and {spelt(info.new_bytes)} new."
    )
    for digest in info.lost[:_SHOWN]:
        typer.echo(f"not in it, for its bytes are lost or damaged: {digest}")
    if place.on_server:
        typer.echo("The secret key (ENTREPOT_SECRET_KEY) is in no backup: keep a copy of it.")
    elif not encrypted:
        typer.echo(
            "It is not encrypted, so the registry's own keys (entrepot/keys) are not in it: keep a copy of them."
        )


def _show_verified(found: list[Verified]) -> None:
    for one in found:
        state = f"{counted(len(one.faults), 'piece')} missing or damaged" if one.faults else "all there and right"
        typer.echo(f"{one.backup}: {counted(one.pieces, 'piece')}, {spelt(one.bytes)}: {state}")
        for fault in one.faults[:_SHOWN]:
            typer.echo(f"  {fault.what}: {fault.problem}")


def _show_restored(restored: Restored, found: Newer, place: Config | Path | None, *, taken: bool) -> None:
    brought = counted(restored.restored, "blob")
    where = place if place is None or isinstance(place, Path) else place.place
    named = f"--data {place}" if isinstance(place, Path) else "--config FILE"
    typer.echo(
        f"{where} is as it was at {_time(restored.created_at)} UTC: {brought} brought back, "
        f"{restored.kept:,} there already."
    )
    for digest in restored.lost[:_SHOWN]:
        typer.echo(f"lost: {digest}")
    if restored.lost:
        typer.echo(f"Images that need them are broken until they are pushed; entrepot doctor {named} names them.")
    if taken:
        typer.echo(f"Taken in from the storage: {counted(found.manifests, 'manifest')}, {counted(found.tags, 'tag')}.")
    elif found.differences:
        typer.echo(
            f"The storage has {counted(found.differences, 'thing')} pushed after the backup. To take them in: "
            f"entrepot adopt --delta {place}"
        )
