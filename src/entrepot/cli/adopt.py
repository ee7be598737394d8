"""`entrepot adopt`: take over a folder that registry:2 filled."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entrepot.cli.folder import AsJson, FolderOrBucket, require_tree, run
from entrepot.cli.management.output import printable, table
from entrepot.cli.place import configuration_at, configured
from entrepot.telemetry.words import counted

if TYPE_CHECKING:
    from rich.console import Console

    from entrepot.adoption import run as adoption
    from entrepot.adoption.prune import Kept
    from entrepot.adoption.report import Problem
    from entrepot.config import Config
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
    folder: FolderOrBucket = None,
    *,
    delta: WithDelta = False,
    prune: WithPrune = False,
    as_json: AsJson = False,
) -> None:
    """Adopt a folder in place: nothing is copied or changed. May be stopped and run again, also beside a server.

    A bucket is adopted by the server that is started on it; with --delta and its configuration, what registry:2 wrote
    to it since is taken in.
    """
    if prune and not delta:
        raise typer.BadParameter("--prune goes with --delta")
    from entrepot.adoption.report import ReportFile

    # A transaction that took long is no news for a person who watches a bar.
    logging.getLogger("entrepot.metadata.engine.sqlite_writer").setLevel(logging.ERROR)
    place = configured() if folder is None else configuration_at(folder)
    settings = _settings(place) if delta else None
    if not place.has_folder:
        _adopt_bucket(place, settings, prune=prune, as_json=as_json)
        return
    folder = folder or place.data
    from entrepot.metadata.engine.ballast import Reserve

    outcome = run(lambda: _adopt(place, settings, prune=prune), reserve=Reserve.KEPT)
    problems = list(ReportFile(folder).problems())
    if as_json:
        typer.echo(_json(outcome, problems))
    else:
        _show(outcome, folder, delta=delta)
        _show_problems(problems, ReportFile(folder).path, listed=delta or not outcome.was_adopted)


def _adopt_bucket(place: Config, delta: RegistrySettings | None, *, prune: bool, as_json: bool) -> None:
    """Take in what registry:2 wrote to a bucket."""
    if delta is None:
        raise typer.BadParameter("a bucket is adopted by the server that is started on it; --delta takes in the rest")
    if prune:
        raise typer.BadParameter("of a bucket nobody knows what registry:2 has deleted: --prune is for folders")
    from rich.console import Console

    from entrepot.bootstrap.give_back import take_young

    with _bar(Console(stderr=True)) as on_progress:
        progress = run(lambda: take_young(place, delta, on_progress))
    if as_json:
        typer.echo(_json(_Outcome(progress, was_adopted=True), []))
        return
    _show(_Outcome(progress, was_adopted=True), place.place, delta=True)


def _settings(config: Config) -> RegistrySettings:
    """Give what holds for tags that move and things that go, as for requests to the registry."""
    from entrepot.lifecycle.immutability.locks import ImmutableTags
    from entrepot.registry.settings import RegistrySettings

    return RegistrySettings(
        read_only=lambda: config.storage.maintenance.readonly.enabled,
        delete_enabled=config.storage.delete.enabled,
        grace_seconds=config.lifecycle.grace,
        trash_seconds=config.lifecycle.trash,
        tag_rules=ImmutableTags(),
    )


async def _adopt(place: Config, delta: RegistrySettings | None, *, prune: bool) -> _Outcome:
    """Adopt a folder; with `delta` and adopted already, follow what registry:2 did."""
    from rich.console import Console

    from entrepot.adoption import run as adoption
    from entrepot.adoption import state
    from entrepot.adoption.delta import Delta
    from entrepot.adoption.note import leave_note
    from entrepot.adoption.prune import require_allowed
    from entrepot.adoption.rights import require_rights
    from entrepot.adoption.state import AdoptionState
    from entrepot.bootstrap.databases import opened_databases, opened_locks
    from entrepot.bootstrap.deployment import folder_of
    from entrepot.projection.projector import Projector

    require_rights(place.data)
    require_tree(place.data)
    leave_note(place.data)
    async with opened_databases(place) as stores, opened_locks(place) as locks:
        if prune and delta is not None:
            await require_allowed(stores.metadata, delta)
        folder = folder_of(place, stores.metadata, locks)
        intake, report = folder.intake, folder.report
        was_adopted = await state.prepare(stores.metadata, intake.tree) is AdoptionState.COMPLETE
        if was_adopted and delta is None:
            return _Outcome(adoption.Progress(), was_adopted)
        with _bar(Console(stderr=True)) as on_progress:
            if delta is None or not was_adopted:
                return _Outcome(
                    await adoption.AdoptionRun(intake, report, folder.foreign, on_progress).run(), was_adopted
                )
            projector = Projector(stores.metadata, folder.files)
            work = Delta(intake, report, on_progress, pruning=prune, settings=delta, catch_up=projector.run)
            progress = await work.run()
        await folder.foreign.settle()
        return _Outcome(progress, was_adopted, work.kept)


@contextmanager
def _bar(console: Console) -> Iterator[adoption.OnProgress]:
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    from entrepot.cli.progress import passing_bar

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


def _show(outcome: _Outcome, folder: Path | str, *, delta: bool) -> None:
    progress = outcome.progress
    if outcome.was_adopted and not delta:
        _tell(f"{folder} is adopted already. To take in what registry:2 wrote since: entrepot adopt --delta {folder}")
        return
    repositories = counted(progress.done, "repository")
    content = f"{counted(progress.manifests, 'manifest')} and {counted(progress.tags, 'tag')}"
    _tell(f"Compared; new: {content}." if delta else f"{repositories}, {content} taken in by this run.")
    if outcome.kept:
        _show_kept(outcome.kept)


def _tell(line: str) -> None:
    """Say something beside the output, which is JSON or nothing."""
    typer.echo(line, err=True)


def _as_json(kept: Kept) -> dict[str, str]:
    more = {"reason": kept.reason, "theirs": "" if kept.theirs is None else str(kept.theirs)}
    return {"repository": kept.repository, kept.what: str(kept.reference)} | {
        key: more[key] for key in more if more[key]
    }


def _show_kept(kept: list[Kept]) -> None:
    _tell(f"{counted(len(kept), 'thing')} that registry:2 has moved or no longer has, and that stayed:")
    rows = [[one.what, one.repository, str(one.reference), one.reason] for one in kept[:_SHOWN]]
    _show_table(["what", "repository", "which", "why"], rows)
    if not all(one.reason for one in kept):
        _tell("What has no reason is deleted with --prune.")
    _tell("To give registry:2 what is kept: entrepot layout write")


def _show_problems(problems: list[Problem], path: Path, *, listed: bool) -> None:
    serious = [problem for problem in problems if problem.matters]
    if not serious:
        _tell("Nothing is broken.")
    elif listed:
        _tell(f"{counted(len(serious), 'broken thing')} passed over:")
        rows = [[each.kind, each.repository, each.subject, each.detail] for each in serious[:_SHOWN]]
        _show_table(["kind", "repository", "what", "detail"], rows)
    if problems:
        counts = Counter(problem.kind.value for problem in problems)
        kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items()))
        _tell(f"Passed over: {kinds}. All of it is in {path}")


def _show_table(titles: list[str], rows: list[list[str]]) -> None:
    for line in table(titles, [list(map(printable, row)) for row in rows]):
        _tell(line)
