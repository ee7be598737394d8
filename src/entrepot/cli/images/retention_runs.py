"""`entrepot retention run|history|log`: rules applied, and what came of it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson, run
from entrepot.cli.job_progress import ENDS
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.output import Column, LongList, digest, show, when
from entrepot.cli.management.place import ask, is_folder
from entrepot.cli.management.retention import Project, find_policy
from entrepot.cli.place import located
from entrepot.cli.program.classes import destructive
from entrepot.cli.program.command_line import hinted

_POLL_SECONDS: Final = 0.3
#: As many as the registry gives at once.
_VERDICTS_AT_ONCE: Final = 1_000
_RUNS: Final[dict[str, Column]] = {
    "run": "id",
    "status": "status",
    "dry run": "dry_run",
    "trigger": "trigger",
    "began": when("start_time"),
    "ended": when("end_time"),
}
_VERDICTS: Final[dict[str, Column]] = {
    "repository": "repository",
    "tag": lambda verdict: verdict["tag"] or "(none)",
    "digest": digest("digest"),
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
    ask(lambda api: _tell(api, project, found, all_of_it=dry_run or as_json, as_json=as_json))


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

    async def work(api: Api) -> None:
        await _tell(api, project, await _run(api, project, number), all_of_it=True, as_json=as_json)

    ask(work)


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
    while True:
        found = await _run(api, project, begun)
        if found["status"] in ENDS:
            return found
        await asyncio.sleep(_POLL_SECONDS)


async def _run(api: Api, project: str, number: int) -> dict[str, Any]:
    policy = await find_policy(api, project)
    found: list[dict[str, Any]] = await api.get(f"/retentions/{policy['id']}/executions", q=f"id={number}")
    if not found:
        raise ApiRefused(hinted(f"{project} has no run {number}; see entrepot retention history {project}"))
    return found[0]


async def _tell(api: Api, project: str, found: dict[str, Any], *, all_of_it: bool, as_json: bool) -> None:
    """Say what a run came to, then what it decided about each tag: all, or only what was not kept."""
    policy = await find_policy(api, project)
    tasks = f"/retentions/{policy['id']}/executions/{found['id']}/tasks"
    if not as_json:
        await _summarise(api, tasks, dry_run=found["dry_run"])
    with LongList(_VERDICTS, as_json=as_json) as shown:
        async for task in api.by_number(tasks):
            if all_of_it or task["retained"] < task["total"]:
                async for some in api.by_position(f"{tasks}/{task['id']}/verdicts", _VERDICTS_AT_ONCE):
                    wanted = some if all_of_it else [verdict for verdict in some if not verdict["kept"]]
                    shown.add([{"repository": task["repository"], **verdict} for verdict in wanted])


async def _summarise(api: Api, tasks: str, *, dry_run: bool) -> None:
    total = gone = 0
    async for task in api.by_number(tasks):
        total += task["total"]
        gone += task["total"] - task["retained"]
    what = "would go to the trash" if dry_run else "went to the trash"
    typer.echo(f"{total:,} looked at, {gone:,} {what}.")
