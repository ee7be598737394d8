"""`entrepot gc`, and registry:2's name for it: take away what nothing needs, while the registry serves or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entrepot.cli.folder import AsJson, run
from entrepot.cli.job_progress import watch
from entrepot.cli.management.api import Api
from entrepot.cli.management.output import ago, show_one
from entrepot.cli.management.place import ask, is_folder
from entrepot.cli.place import located
from entrepot.cli.program.classes import destructive
from entrepot.cli.program.command_line import given, hinted
from entrepot.metadata import clock
from entrepot.telemetry.progress import Progress, Unwatched
from entrepot.telemetry.words import counted, spelt

if TYPE_CHECKING:
    from entrepot.config import Config
    from entrepot.lifecycle.collection.full_collection import FromTrash, Request, Result

DryRun = Annotated[
    bool, typer.Option("--dry-run", "-d", help="Change nothing; list what would go now on standard output.")
]


@destructive("now", "accept")
def gc_command(
    *,
    now: Annotated[
        bool,
        typer.Option(
            "--now",
            help="Empty everybody's trash first, for good, and compare the next piece of the store with the metadata. "
            "The grace stays as it is.",
        ),
    ] = False,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Compare all of the store with the metadata now, which a server does in pieces."),
    ] = False,
    dry_run: DryRun = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-damage",
            help="Let go of what could not be read when the folder was adopted: what only that needs is collected.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take away what nothing needs and whose grace is over. Safe beside a running server, and may be stopped."""
    if not (accept or whole or is_folder()):
        _collect_there(now=now, dry_run=dry_run, as_json=as_json)
        return
    from entrepot.bootstrap.collection import accept_damage
    from entrepot.lifecycle.collection.full_collection import Request

    place = located()
    if accept:
        count = run(lambda: accept_damage(place))
        typer.echo(f"{counted(count, 'damaged thing')} let go of.", err=True)
    request = Request(dry_run=dry_run, empty_trash=now, compare=now, whole=whole and not dry_run)
    result = _collect(place, request, quiet=as_json, listing=dry_run and not as_json)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        _show(place, request, result)


def garbage_collect_command(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONFIG",
            help="The configuration file that serve was given.",
        ),
    ] = None,
    *,
    dry_run: DryRun = False,
    delete_untagged: Annotated[
        bool,
        typer.Option(
            "--delete-untagged",
            "-m",
            help="Let manifests go, after the grace, that have no tag, that no index lists and that refer to nothing "
            "that is there.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Do what `registry garbage-collect` does for registry:2, by its switches; the registry may go on serving."""
    if config is not None:
        given().config = config
    from entrepot.lifecycle.collection.full_collection import Request

    place = located()
    may_delete = place.storage.delete.enabled
    if delete_untagged and not may_delete:
        typer.echo("manifests without a tag stay: storage.delete.enabled is false", err=True)
    request = Request(dry_run=dry_run, whole=not dry_run, delete_untagged=delete_untagged and may_delete)
    result = _collect(place, request, quiet=quiet, listing=dry_run and not quiet)
    if not quiet:
        _show(place, request, result)


def _collect_there(*, now: bool, dry_run: bool, as_json: bool) -> None:
    """Let a server do it, and wait for the end."""
    parameters = {"dry_run": dry_run, "empty_trash": now, "compare": now}

    async def work(api: Api) -> dict[str, Any]:
        run = await api.post("/jobs", {"kind": "garbage-collection", "subject": "", "parameters": parameters})
        return await watch(api, run["id"], quiet=as_json)

    done = ask(work)
    if done["status"] != "Success":
        typer.echo(hinted(f"error: it ended as {done['status']}; see entrepot job log {done['id']}"), err=True)
        raise typer.Exit(1)
    show_one(done["result"] or {}, as_json=as_json)


def _collect(place: Config, request: Request, *, quiet: bool, listing: bool) -> Result:
    from entrepot.lifecycle.collection.full_collection import Result

    result = Result()
    if quiet:
        _run(place, request, Unwatched(), result)
    else:
        from entrepot.cli.progress import watched

        with watched(listing=listing) as bar:
            _run(place, request, bar, result)
    return result


def _run(place: Config, request: Request, progress: Progress, result: Result) -> None:
    from entrepot.bootstrap.collection import collect

    run(lambda: collect(place, request, progress, result))


def _show(place: Config, request: Request, result: Result) -> None:
    for line in _lines(place, request, result):
        typer.echo(hinted(line), err=request.dry_run)


def _from_trash(trash: FromTrash, *, dry_run: bool, grace: str) -> str:
    entries = f"{counted(trash.entries, 'entry')} of the trash"
    if dry_run:
        return f"{entries} would go for good; entrepot trash list shows what there is."
    manifests = f", {counted(trash.manifests, 'manifest')} with them" if trash.manifests else ""
    return f"{entries} gone for good{manifests}; their blobs follow in {grace}."


def _lines(place: Config, request: Request, result: Result) -> list[str]:
    from entrepot.config.durations import format_duration

    done, grace = result.collected, format_duration(place.lifecycle.grace)
    verb = "Would free" if request.dry_run else "Freed"
    freed = f"{counted(done.blobs, 'blob')} and {counted(done.files, 'other file')}"
    found = [f"{verb} {spelt(done.freed_bytes)}: {freed}."]
    if result.trash.entries:
        found.insert(0, _from_trash(result.trash, dry_run=request.dry_run, grace=grace))
    if done.manifests:
        manifests = counted(done.manifests, "manifest")
        found.append(f"{manifests} went with what they belonged to; their blobs follow in {grace}.")
    if done.failed:
        found.append(f"{counted(done.failed, 'blob')} could not be deleted; see the log. They are tried again.")
    if result.untagged:
        manifests = counted(result.untagged, "manifest")
        found.append(f"{manifests} without a tag: gone in {grace}, unless somebody uses them until then.")
    if result.orphans is not None:
        orphans = result.orphans
        unknown, lost = counted(orphans.files, "file"), counted(orphans.missing, "blob")
        found.append(
            f"Compared {orphans.looked_at:,} files and rows: {unknown} that nothing speaks of, {lost} whose bytes are "
            "gone."
        )
    if result.next_due_at is not None:
        due, things = ago(clock.text(result.next_due_at)), counted(result.waiting, "thing")
        found.append(f"{things} waiting for the grace of {grace}; the first is looked at {due}.")
    return found
