"""`entrepot layout`: registry:2's files beside the metadata, so that registry:2 can take the folder back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Column, Table

from entrepot.adoption.report import ProblemKind
from entrepot.adoption.rights import require_rights
from entrepot.adoption.tree import Tree
from entrepot.cli.folder import AsJson, Folder, opened, printable, require_metadata, run
from entrepot.cli.program.classes import Noun
from entrepot.projection.comparison import Comparison, DifferenceKind, Result
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector

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
    result = run(lambda: _compare(folder, writing=True))
    _show(result, as_json=as_json)
    extra = any(difference.kind is DifferenceKind.EXTRA for difference in result.differences)
    refused = any(problem.kind is ProblemKind.UNWRITABLE for problem in result.problems)
    raise typer.Exit(1 if extra or refused else 0)


async def _compare(folder: Path, *, writing: bool) -> Result:
    require_rights(folder)
    require_metadata(folder)
    async with opened(folder) as stores:
        files = TreeFiles(folder)
        comparison = Comparison(stores.metadata, Tree(folder), files)
        if not writing:
            return await comparison.check()
        await Projector(stores.metadata, files).run()
        return await comparison.write()


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    console = Console()
    console.print(f"{result.repositories} repositories compared, {len(result.differences)} differences.")
    if result.differences:
        table = Table("in the files", "what", "repository", Column("which", overflow="fold"))
        for difference in result.differences[:_SHOWN]:
            table.add_row(difference.kind, difference.what, difference.repository, difference.subject)
        console.print(table)
    for problem in result.problems[:_SHOWN]:
        line = f"{problem.kind}: {problem.repository} {problem.subject} {problem.detail}"
        console.print(printable(line), soft_wrap=True)
