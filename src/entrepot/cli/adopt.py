"""`entrepot adopt`: take over a folder that registry:2 filled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from entrepot.adoption import run as adoption
from entrepot.adoption import state
from entrepot.adoption.intake import Intake
from entrepot.adoption.report import ReportFile
from entrepot.adoption.rights import require_rights
from entrepot.adoption.tree import Tree
from entrepot.cli.folder import AsJson, Folder, opened, run
from entrepot.metadata import outbox
from entrepot.oci.errors import RegistryError

_SHOWN_PROBLEMS = 50

Delta = Annotated[
    bool,
    typer.Option("--delta", help="The folder is adopted already: take in what registry:2 wrote since. Tags follow it."),
]


class OutboxWaiting(RegistryError):
    """Pushes are still waiting to be written to the folder; run 'entrepot layout write' first, then this again."""


def adopt_command(folder: Folder, *, delta: Delta = False, as_json: AsJson = False) -> None:
    """Adopt a folder in place: nothing is copied or changed. May be stopped and run again, also beside a server."""
    console = Console(stderr=True)
    with _bar(console) as on_progress:
        progress = run(lambda: _adopt(folder, on_progress, delta=delta))
    if as_json:
        problems = [asdict(problem) for problem in ReportFile(folder).problems()]
        typer.echo(json.dumps({**asdict(progress), "report": problems}))
        return
    console.print(
        f"{progress.done} repositories, {progress.manifests} manifests and {progress.tags} tags taken in by this run."
    )
    _show_problems(console, ReportFile(folder))


async def _adopt(folder: Path, on_progress: adoption.OnProgress, *, delta: bool) -> adoption.Progress:
    require_rights(folder)
    async with opened(folder) as stores:
        tree = Tree(folder)
        await state.prepare(stores.metadata, tree)
        work = adoption.AdoptionRun(Intake(stores.metadata, tree), ReportFile(folder), on_progress)
        if not delta:
            return await work.run()
        if (await outbox.backlog(stores.metadata))[0]:
            raise OutboxWaiting
        return await work.refresh()


@contextmanager
def _bar(console: Console) -> Iterator[adoption.OnProgress]:
    columns = (
        TextColumn("adopting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("repositories, {task.fields[manifests]} manifests"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[repository]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, manifests=0, repository="")

        def show(progress: adoption.Progress) -> None:
            bar.update(
                task,
                total=progress.total or None,
                completed=progress.done,
                manifests=progress.manifests,
                repository=progress.repository,
            )

        yield show


def _show_problems(console: Console, report: ReportFile) -> None:
    problems = list(report.problems())
    if not problems:
        console.print("Nothing is broken.")
        return
    table = Table("kind", "repository", "what", "detail", title=f"{len(problems)} broken things were passed over")
    for problem in problems[:_SHOWN_PROBLEMS]:
        table.add_row(problem.kind, problem.repository, problem.subject, problem.detail)
    console.print(table)
    counts = Counter(problem.kind.value for problem in problems)
    console.print(", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())) + f". All in {report.path}")
