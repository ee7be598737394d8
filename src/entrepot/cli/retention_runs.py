"""`entrepot retention run|history|log`: rules applied, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson, run
from entrepot.cli.job_watching import ENDS
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.output import Column, show
from entrepot.cli.management.place import ask, is_folder
from entrepot.cli.management.retention import Project, find_policy
from entrepot.cli.place import located
from entrepot.cli.program.classes import destructive
from entrepot.cli.program.given import hinted

_POLL_SECONDS: Final = 0.3
_RUNS: Final[dict[str, Column]] = {
    "run": "id",
    "status": "status",
    "dry run": "dry_run",
    "trigger": "trigger",
    "began": lambda entry: entry["start_time"][:19],
    "ended": lambda entry: (entry["end_time"] or "")[:19],
}
_VERDICTS: Final[dict[str, Column]] = {
    "repository": "repository",
    "tag": lambda verdict: verdict["tag"] or "(none)",
    "digest": lambda verdict: verdict["digest"][:19],
    "": lambda verdict: "kept" if verdict["kept"] else "removed",
    "rule": "rule",
    "why": "reason",
}
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and why.")]


@destructive()
def run_command(
    project: Project,
    *,
    dry_run: DryRun = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end and show what was decided.")] = True,
    as_json: AsJson = False,
) -> None:
    """Apply the rules of a project now; a dry run shows for each tag what would become of it, and why."""
    begun, alone = ask(lambda api: _begin(api, project, dry_run=dry_run))
    if not wait:
        typer.echo(hinted(f"Run {begun} is asked for: entrepot retention log {project} {begun}"))
        return
    if alone and is_folder():
        _work(begun)
    found = ask(lambda api: _ended(api, project, begun))
    if found["status"] != "Success":
        typer.echo(hinted(f"error: the run ended as {found['status']}; see entrepot job log {begun}"), err=True)
        raise typer.Exit(1)
    verdicts = ask(lambda api: _verdicts(api, project, begun))
    shown = verdicts if dry_run or as_json else [verdict for verdict in verdicts if not verdict["kept"]]
    show(shown, _VERDICTS, as_json=as_json)
    if not as_json:
        _summarise(verdicts, dry_run=dry_run)


def history_command(
    project: Project,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List when the rules of a project were applied, the latest first."""

    async def work(api: Api) -> list[Any]:
        policy = await find_policy(api, project)
        found: list[Any] = await api.get(f"/retentions/{policy['id']}/executions", page_size=limit)
        return found

    show(ask(work), _RUNS, as_json=as_json)


def log_command(
    project: Project,
    number: Annotated[int, typer.Argument(metavar="RUN", min=1, help="Number of the run, as `history` shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show what a run decided about each tag, and why."""
    verdicts = ask(lambda api: _verdicts(api, project, number))
    show(verdicts, _VERDICTS, as_json=as_json)


async def _begin(api: Api, project: str, *, dry_run: bool) -> tuple[int, bool]:
    """Ask for a run; return its number, and whether nobody is there to do it."""
    policy = await find_policy(api, project)
    place = f"/retentions/{policy['id']}/executions"
    await api.post(place, {"dry_run": dry_run})
    newest = (await api.get(place, page_size=1))[0]
    try:
        alone = not await api.get("/jobservice/pools")
    except ApiRefused:
        alone = False  # whoever may not see the workers has a server, which has some
    return int(newest["id"]), alone


def _work(begun: int) -> None:
    """Do the run in this process, where no server is there to do it."""
    from entrepot.bootstrap.retention import retain

    place = located()
    run(lambda: retain(place, begun))


async def _ended(api: Api, project: str, begun: int) -> dict[str, Any]:
    policy = await find_policy(api, project)
    while True:
        found: dict[str, Any] = (await api.get(f"/retentions/{policy['id']}/executions", q=f"id={begun}"))[0]
        if found["status"] in ENDS:
            return found
        await asyncio.sleep(_POLL_SECONDS)


async def _verdicts(api: Api, project: str, begun: int) -> list[dict[str, Any]]:
    policy = await find_policy(api, project)
    return [verdict async for verdict in _each(api, f"/retentions/{policy['id']}/executions/{begun}/tasks")]


async def _each(api: Api, tasks: str) -> AsyncIterator[dict[str, Any]]:
    async for task in api.entries(tasks):
        async for verdict in api.entries(f"{tasks}/{task['id']}/verdicts"):
            yield {"repository": task["repository"], **verdict}


def _summarise(verdicts: list[dict[str, Any]], *, dry_run: bool) -> None:
    gone = sum(not verdict["kept"] for verdict in verdicts)
    what = "would go to the trash" if dry_run else "went to the trash"
    typer.echo(f"{len(verdicts):,} looked at, {gone:,} {what}.")
