"""`entrepot layout`: registry:2's files beside the metadata, so that registry:2 can take folder or bucket back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.folder import AsJson, FolderOrBucket, require_metadata, run
from entrepot.cli.management.output import printable, table
from entrepot.cli.place import configuration_at, configured
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import counted, spelt

if TYPE_CHECKING:
    from entrepot.config import Config
    from entrepot.projection.comparison import Result
    from entrepot.projection.give_back import GivenBack

_SHOWN = 50
Plan = Annotated[bool, typer.Option("--plan", help="Only say what would be written.")]

app = Noun()


@app.command("check")
def check_command(folder: FolderOrBucket = None, *, as_json: AsJson = False) -> None:
    """Compare the files with the metadata, both ways. Exits with 1 if anything differs."""
    place = configured() if folder is None else configuration_at(folder)
    if not place.has_folder:
        given = _give_back(place, writing=False, as_json=as_json)
        raise typer.Exit(1 if given.differs else 0)
    result = run(lambda: _compare(place, writing=False))
    _show(result, as_json=as_json)
    raise typer.Exit(1 if result.differences else 0)


@app.command("write")
def write_command(folder: FolderOrBucket = None, *, plan: Plan = False, as_json: AsJson = False) -> None:
    """Write what registry:2 would miss. What only the files have, and what cannot be written, is reported.

    A bucket is given back so: blobs are copied within the store to where registry:2 looks for them, and what was
    deleted here is deleted there, too. Stop the servers first, and look with --plan how much that is.
    """
    from entrepot.adoption.report import ProblemKind
    from entrepot.projection.comparison import DifferenceKind

    place = configured() if folder is None else configuration_at(folder)
    if not place.has_folder:
        given = _give_back(place, writing=not plan, as_json=as_json)
        raise typer.Exit(1 if given.theirs or given.lost else 0)
    result = run(lambda: _compare(place, writing=not plan))
    _show(result, as_json=as_json)
    extra = any(difference.kind is DifferenceKind.EXTRA for difference in result.differences)
    refused = any(problem.kind is ProblemKind.UNWRITABLE for problem in result.problems)
    raise typer.Exit(1 if extra or refused else 0)


async def _compare(place: Config, *, writing: bool) -> Result:
    from entrepot.adoption.rights import require_rights
    from entrepot.bootstrap.databases import opened_databases, opened_locks
    from entrepot.bootstrap.deployment import folder_of
    from entrepot.projection.comparison import Comparison
    from entrepot.projection.projector import Projector

    require_rights(place.data)
    require_metadata(place)
    async with opened_databases(place) as stores, opened_locks(place) as locks:
        parts = folder_of(place, stores.metadata, locks)
        comparison = Comparison(stores.metadata, parts.tree, parts.files)
        if not writing:
            return await comparison.check()
        await Projector(stores.metadata, parts.files).run()
        return await comparison.write()


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    compared = counted(result.repositories, "repository")
    typer.echo(f"{compared} compared, {counted(len(result.differences), 'difference')}.")
    if result.differences:
        rows = [[each.kind, each.what, each.repository, each.subject] for each in result.differences[:_SHOWN]]
        for line in table(["in the files", "what", "repository", "which"], rows):
            typer.echo(line)
    for problem in result.problems[:_SHOWN]:
        typer.echo(printable(f"{problem.kind}: {problem.repository} {problem.subject} {problem.detail}"))


def _give_back(place: Config, *, writing: bool, as_json: bool) -> GivenBack:
    """Give a bucket back to registry:2, or say what that would take."""
    from entrepot.bootstrap.give_back import give_back

    given = run(lambda: give_back(place, writing=writing))
    if as_json:
        typer.echo(json.dumps(asdict(given)))
        return given
    copied, said = counted(given.blobs, "blob"), "" if writing else "would be "
    typer.echo(f"{counted(given.repositories, 'repository')} compared.")
    typer.echo(f"{copied} ({spelt(given.bytes)}) {said}copied within the store, {counted(given.links, 'link')} ")
    typer.echo(f"and {counted(given.manifests, 'manifest')} {said}written, {given.removed:,} {said}removed.")
    for what, things in (("the bytes are gone", given.lost), ("registry:2 wrote it since", given.theirs)):
        for thing in things[:_SHOWN]:
            typer.echo(printable(f"{what}: {thing}"))
    return given
