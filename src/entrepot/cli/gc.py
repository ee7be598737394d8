"""`entrepot gc`, and registry:2's name for it: take away what nothing needs, while the registry serves or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal

from entrepot.bootstrap.collection import accept_damage, collect
from entrepot.cli.folder import AsJson, run
from entrepot.cli.management.output import time_of
from entrepot.cli.place import located
from entrepot.cli.program.classes import destructive
from entrepot.cli.program.given import given, hinted
from entrepot.cli.progress import Bar
from entrepot.config import Config
from entrepot.config.durations import format_duration
from entrepot.lifecycle.collection.whole import FromTrash, Request, Result
from entrepot.metadata import clock
from entrepot.telemetry.progress import Progress, Unwatched

DryRun = Annotated[
    bool, typer.Option("--dry-run", "-d", help="Change nothing; list what would go now on standard output.")
]


class _Listing(Bar):
    """A bar whose lines are the command's output."""

    async def say(self, message: str) -> None:
        """Print all of them."""
        typer.echo(message)


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
    place = located()
    if accept:
        count = run(lambda: accept_damage(place))
        typer.echo(f"{count} damaged things are let go of.", err=True)
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
    place = located()
    may_delete = place.storage.delete.enabled
    if delete_untagged and not may_delete:
        typer.echo("manifests without a tag stay: storage.delete.enabled is false", err=True)
    request = Request(dry_run=dry_run, whole=not dry_run, delete_untagged=delete_untagged and may_delete)
    result = _collect(place, request, quiet=quiet, listing=dry_run and not quiet)
    if not quiet:
        _show(place, request, result)


def _collect(place: Config, request: Request, *, quiet: bool, listing: bool) -> Result:
    result = Result()
    if quiet:
        _run(place, request, Unwatched(), result)
    else:
        console = Console(stderr=True)
        with _Listing(console) if listing else Bar(console) as bar:
            _run(place, request, bar, result)
    return result


def _run(place: Config, request: Request, progress: Progress, result: Result) -> None:
    run(lambda: collect(place, request, progress, result))


def _show(place: Config, request: Request, result: Result) -> None:
    console = Console(stderr=request.dry_run)
    for line in _lines(place, request, result):
        console.print(hinted(line), highlight=False, soft_wrap=True)


def _from_trash(trash: FromTrash, *, dry_run: bool, grace: str) -> str:
    if dry_run:
        return f"{trash.entries:,} entries of the trash would go for good; entrepot trash list shows what there is."
    manifests = f", {trash.manifests:,} manifests with them" if trash.manifests else ""
    return f"{trash.entries:,} entries left the trash for good{manifests}; their blobs follow in {grace}."


def _lines(place: Config, request: Request, result: Result) -> list[str]:
    done, grace = result.collected, format_duration(place.lifecycle.grace)
    verb = "Would free" if request.dry_run else "Freed"
    found = [f"{verb} {decimal(done.freed_bytes)}: {done.blobs:,} blobs and {done.files:,} other files."]
    if result.trash.entries:
        found.insert(0, _from_trash(result.trash, dry_run=request.dry_run, grace=grace))
    if done.manifests:
        found.append(f"{done.manifests:,} manifests went with what they belonged to; their blobs follow in {grace}.")
    if done.failed:
        found.append(f"{done.failed:,} blobs could not be deleted; see the log. They are tried again.")
    if result.untagged:
        found.append(
            f"{result.untagged:,} manifests without a tag go in {grace}, unless somebody uses them until then."
        )
    if result.orphans is not None:
        orphans = result.orphans
        found.append(
            f"Compared {orphans.looked_at:,} files and rows: {orphans.files:,} files that nothing speaks of, "
            f"{orphans.missing:,} blobs whose bytes are gone."
        )
    if result.next_due_at is not None:
        due = f"{time_of(clock.text(result.next_due_at))} UTC"
        found.append(f"{result.waiting:,} things wait for their grace of {grace}; the first is looked at {due}.")
    return found
