"""`entrepot adopt`: take over a folder that registry:2 filled."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from entrepot.adoption import run as adoption
from entrepot.adoption import state
from entrepot.adoption.delta import Delta
from entrepot.adoption.foreign import ForeignWrites
from entrepot.adoption.intake import Intake
from entrepot.adoption.note import leave_note
from entrepot.adoption.prune import Kept, require_allowed
from entrepot.adoption.report import Problem, ReportFile
from entrepot.adoption.rights import require_rights
from entrepot.adoption.state import AdoptionState
from entrepot.adoption.tree import Tree
from entrepot.cli.folder import AsJson, Folder, opened, printable, require_tree, run
from entrepot.cli.place import configuration_at
from entrepot.cli.progress import passing_bar
from entrepot.config import Config
from entrepot.lifecycle.immutability.locks import ImmutableTags
from entrepot.metadata.ballast import Reserve
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector
from entrepot.registry.settings import RegistrySettings

_SHOWN = 20

WithDelta = Annotated[
    bool,
    typer.Option("--delta", help="The folder is adopted already: take in what registry:2 wrote since. Tags follow it."),
]
WithPrune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="With --delta: also delete the tags and manifests that registry:2 no longer has. Name the configuration "
        "with --config: where that switches deleting off, nothing is deleted.",
    ),
]


@dataclass(slots=True)
class _Outcome:
    """What a run did."""

    progress: adoption.Progress
    was_adopted: bool
    kept: list[Kept] = field(default_factory=list)


def adopt_command(
    folder: Folder,
    *,
    delta: WithDelta = False,
    prune: WithPrune = False,
    as_json: AsJson = False,
) -> None:
    """Adopt a folder in place: nothing is copied or changed. May be stopped and run again, also beside a server."""
    if prune and not delta:
        raise typer.BadParameter("--prune goes with --delta")
    console = Console(stderr=True)
    # A transaction that took long is no news for a person who watches a bar.
    logging.getLogger("entrepot.metadata.sqlite_writer").setLevel(logging.ERROR)
    settings = _settings(configuration_at(folder)) if delta else None
    outcome = run(lambda: _adopt(folder, console, settings, prune=prune), reserve=Reserve.KEPT)
    problems = list(ReportFile(folder).problems())
    if as_json:
        typer.echo(_json(outcome, problems))
    else:
        _show(console, outcome, folder, delta=delta)
        _show_problems(console, problems, ReportFile(folder).path, table=delta or not outcome.was_adopted)


def _settings(config: Config) -> RegistrySettings:
    """Give what holds for tags that move and things that go, as for requests to the registry."""
    return RegistrySettings(
        read_only=lambda: config.storage.maintenance.readonly.enabled,
        delete_enabled=config.storage.delete.enabled,
        grace_seconds=config.lifecycle.grace,
        trash_seconds=config.lifecycle.trash,
        tag_rules=ImmutableTags(),
    )


async def _adopt(folder: Path, console: Console, delta: RegistrySettings | None, *, prune: bool) -> _Outcome:
    """Adopt a folder; with `delta` and adopted already, follow what registry:2 did."""
    require_rights(folder)
    require_tree(folder)
    leave_note(folder)
    async with opened(folder) as stores:
        if prune and delta is not None:
            await require_allowed(stores.metadata, delta)
        intake, report = Intake(stores.metadata, Tree(folder)), ReportFile(folder)
        was_adopted = await state.prepare(stores.metadata, intake.tree) is AdoptionState.COMPLETE
        if was_adopted and delta is None:
            return _Outcome(adoption.Progress(), was_adopted)
        with _bar(console) as on_progress:
            if delta is None or not was_adopted:
                return _Outcome(await adoption.AdoptionRun(intake, report, on_progress).run(), was_adopted)
            projector = Projector(stores.metadata, TreeFiles(folder))
            work = Delta(intake, report, on_progress, pruning=prune, settings=delta, catch_up=projector.run)
            progress = await work.run()
        await ForeignWrites(stores.metadata, intake.tree).settle()
        return _Outcome(progress, was_adopted, work.kept)


@contextmanager
def _bar(console: Console) -> Iterator[adoption.OnProgress]:
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("repositories, {task.fields[manifests]} manifests"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[repository]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with passing_bar(console, *columns, expand=True) as bar:
        task = bar.add_task("", total=None, manifests=0, repository="")

        def show(progress: adoption.Progress) -> None:
            bar.update(
                task,
                total=progress.total or None,
                completed=progress.done,
                manifests=progress.manifests,
                repository=escape(progress.repository),
            )

        yield show


def _json(outcome: _Outcome, problems: Iterable[Problem]) -> str:
    kept = [_as_json(one) for one in outcome.kept]
    report = [asdict(problem) for problem in problems]
    return json.dumps({**asdict(outcome.progress), "kept": kept, "report": report})


def _show(console: Console, outcome: _Outcome, folder: Path, *, delta: bool) -> None:
    progress = outcome.progress
    if outcome.was_adopted and not delta:
        console.print(
            f"{folder} is adopted already. To take in what registry:2 wrote since: entrepot adopt --delta {folder}",
            markup=False,
            soft_wrap=True,
        )
        return
    counts = f"{progress.done} repositories, {progress.manifests} manifests and {progress.tags} tags"
    console.print(f"{counts} taken in by this run." if not delta else f"Compared; new: {counts.partition(', ')[2]}.")
    if outcome.kept:
        _show_kept(console, outcome.kept)


def _as_json(kept: Kept) -> dict[str, str]:
    more = {"reason": kept.reason, "theirs": "" if kept.theirs is None else str(kept.theirs)}
    return {"repository": kept.repository, kept.what: str(kept.reference)} | {
        key: more[key] for key in more if more[key]
    }


def _show_kept(console: Console, kept: list[Kept]) -> None:
    title = f"{len(kept)} things that registry:2 has moved or no longer has were kept"
    table = Table("what", "repository", "which", "why", title=title)
    for one in kept[:_SHOWN]:
        table.add_row(one.what, one.repository, str(one.reference), one.reason)
    console.print(table)
    if not all(one.reason for one in kept):
        console.print("What has no reason is deleted with --prune.")
    console.print("To give registry:2 what is kept: entrepot layout write")


def _show_problems(console: Console, problems: list[Problem], path: Path, *, table: bool) -> None:
    serious = [problem for problem in problems if problem.matters]
    if not serious:
        console.print("Nothing is broken.")
    elif table:
        _show_table(console, serious)
    if problems:
        counts = Counter(problem.kind.value for problem in problems)
        listed = ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items()))
        console.print(f"Passed over: {listed}. All of it is in {path}", markup=False, soft_wrap=True)


def _show_table(console: Console, problems: list[Problem]) -> None:
    table = Table("kind", "repository", "what", "detail", title=f"{len(problems)} broken things were passed over")
    for problem in problems[:_SHOWN]:
        table.add_row(*map(printable, (problem.kind, problem.repository, problem.subject, problem.detail)))
    console.print(table)
