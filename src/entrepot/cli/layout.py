"""`entrepot layout`: registry:2's files beside the metadata, so that registry:2 can take the folder back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from entrepot.cli.folder import AsJson, Folder, require_metadata, run
from entrepot.cli.management.output import printable, table
from entrepot.cli.place import configuration_at
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import counted

if TYPE_CHECKING:
    from entrepot.projection.comparison import Result

_SHOWN = 50

app = Noun()


@app.command("check")
def check_command(folder: Folder, *, as_json: AsJson = False) -> None:
    """Compare the files with the metadata, both ways. Exits with 1 if anything differs."""
    result = run(lambda: _compare(folder, writing=False))
    _show(result, as_json=as_json)
    raise typer.Exit(1 if result.differences else 0)


@app.command("write")
def write_command(folder: Folder, *, as_json: AsJson = False) -> None:
    """Write what registry:2 would miss. What only the files have, and what cannot be written, is reported."""
    from entrepot.adoption.report import ProblemKind
    from entrepot.projection.comparison import DifferenceKind

    result = run(lambda: _compare(folder, writing=True))
    _show(result, as_json=as_json)
    extra = any(difference.kind is DifferenceKind.EXTRA for difference in result.differences)
    refused = any(problem.kind is ProblemKind.UNWRITABLE for problem in result.problems)
    raise typer.Exit(1 if extra or refused else 0)


async def _compare(folder: Path, *, writing: bool) -> Result:
    from entrepot.adoption.rights import require_rights
    from entrepot.bootstrap.databases import opened_databases, opened_locks
    from entrepot.bootstrap.deployment import folder_of
    from entrepot.projection.comparison import Comparison
    from entrepot.projection.projector import Projector

    place = configuration_at(folder)
    require_rights(folder)
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
