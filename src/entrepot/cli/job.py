"""`entrepot job`: work in the background: what runs, what came of it, and when it runs by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from entrepot.cli import job_schedule
from entrepot.cli.folder import AsJson
from entrepot.cli.job_progress import ENDS, Lines, watch
from entrepot.cli.management.api import Api, ApiRefused
from entrepot.cli.management.output import Column, printable, show, show_one, when
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import hinted

app = Noun()
app.add_typer(job_schedule.app, name="schedule")

Run = Annotated[int, typer.Argument(metavar="RUN", min=1, help="Number of the run.")]
Kind = Annotated[str, typer.Argument(metavar="KIND", help="Kind of job, as `entrepot job kinds` lists them.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show progress until it ends.")]


def progress_of(run: Mapping[str, Any]) -> str:
    """Return how far a run is, for people."""
    done, total = run["done"], run["total"]
    return "" if not done and total is None else f"{done:,}" if total is None else f"{done:,} of {total:,}"


_ALL: Final = "all"
_RUNS: Final[Mapping[str, Column]] = {
    "run": "id",
    "kind": lambda run: f"{run['kind']} {run['subject']}".strip(),
    "status": lambda run: "Stopping" if run["stopping"] else run["status"],
    "progress": progress_of,
    "by": lambda run: run["actor"] or run["trigger"],
    "asked for": when("creation_time"),
    "ended": when("end_time"),
    "error": "error",
}
_FOLLOW_SECONDS: Final = 0.5


@app.command("list")
def list_command(
    *,
    kind: Annotated[str, typer.Option("--kind", help="Only this kind.")] = "",
    status: Annotated[str, typer.Option("--status", help="Pending, Running, Success, Error or Stopped.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="At most so many, the newest first.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    wanted = ",".join(f"{name}={value}" for name, value in (("kind", kind), ("status", status)) if value)
    runs = ask(lambda api: api.get("/jobs", q=wanted or None, page_size=limit))
    show(runs, _RUNS, as_json=as_json, of="run")


@app.command("kinds")
def kinds_command(*, as_json: AsJson = False) -> None:
    """List the kinds of jobs there are, what a run of each may be given, and when they run by themselves."""

    async def work(api: Api) -> tuple[list[Any], dict[str, str]]:
        schedules = await api.every("/jobs/schedules")
        in_force = {entry["kind"]: entry["cron"] for entry in schedules if not entry["subject"]}
        return await api.get("/jobs/kinds"), in_force

    found, in_force = ask(work)
    columns: dict[str, Column] = {
        "kind": "name",
        "what it does": "title",
        "parameters": lambda kind: ", ".join(
            f"{name}={json.dumps(value)}" for name, value in kind["parameters"].items()
        ),
        "subject": "subjects",
        "schedule": lambda kind: in_force.get(kind["name"]),
    }
    show(found, columns, as_json=as_json)


@app.command("show")
def show_command(
    run: Run,
    *,
    watching: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Show a run with its steps: how far it is, or what came of it."""

    async def work(api: Api) -> dict[str, Any]:
        found = await (watch(api, run) if watching else api.get(f"/jobs/{run}"))
        return {**found, "steps": await api.get(f"/jobs/{run}/steps")}

    show_one(ask(work), as_json=as_json)


@app.command("log")
def log_command(
    run: Run,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
) -> None:
    """Print what a run has to say."""

    async def work(api: Api) -> None:
        lines = Lines(api, run)
        while True:
            # Asked before the lines are: what came before the end is printed, too.
            ended = (await api.get(f"/jobs/{run}"))["status"] in ENDS
            for line in await lines.new():
                typer.echo(line)
            if ended or not follow:
                return
            await asyncio.sleep(_FOLLOW_SECONDS)

    ask(work)


@app.command("start")
def start_command(
    kind: Kind,
    *,
    parameters: job_schedule.Parameters = None,
    subject: job_schedule.Subject = "",
    watching: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Ask for a run; the next worker that is free begins it."""

    async def work(api: Api) -> tuple[dict[str, Any], bool]:
        given = await job_schedule.typed(api, kind, parameters)
        run = await api.post("/jobs", {"kind": kind, "subject": subject, "parameters": given})
        if watching:
            return await watch(api, run["id"], quiet=as_json), True
        return run, bool(await api.get("/jobservice/pools"))

    run, worked_on = ask(work)
    if as_json:
        show_one(run, as_json=True)
    else:
        _tell(run, worked_on=worked_on)
    if run["status"] in ("Error", "Stopped"):
        raise typer.Exit(1)


@app.command("stop")
def stop_command(run: Run) -> None:
    """Ask a run to end, which it does at its next step."""

    async def work(api: Api) -> str:
        await api.post(f"/jobs/{run}/stop")
        return str((await api.get(f"/jobs/{run}"))["status"])

    status = ask(work)
    typer.echo(f"Run {run} is asked to stop." if status == "Running" else f"Run {run} has ended: {status}.")


@app.command("queues")
def queues_command(*, as_json: AsJson = False) -> None:
    """List the queues, one for each kind, and which are held back."""
    columns: dict[str, Column] = {
        "queue": lambda queue: queue["job_type"].lower().replace("_", "-"),
        "waiting": "count",
        "oldest (s)": "latency",
        "held back": "paused",
    }
    show(ask(lambda api: api.get("/jobservice/queues")), columns, as_json=as_json)


@app.command("pause")
def pause_command(kind: Kind) -> None:
    """Hold back the runs of a kind, or of all; those that run go on. `scheduler` holds back all schedules."""
    _act(kind, "pause")
    typer.echo(hinted(f"Runs of {kind} wait until: entrepot job resume {kind}"))


@app.command("resume")
def resume_command(kind: Kind = _ALL) -> None:
    """Let the runs of a kind, or of all, go on."""
    _act(kind, "resume")
    typer.echo(f"Runs of {kind} go on.")


@app.command("workers")
def workers_command(*, as_json: AsJson = False) -> None:
    """List the processes that run jobs, and what each does now."""

    async def work(api: Api) -> list[dict[str, Any]]:
        running: Sequence[Mapping[str, Any]] = await api.get("/jobservice/pools/all/workers")
        return [
            {**pool, "runs": [int(each["job_id"]) for each in running if each["pool_id"] == pool["worker_pool_id"]]}
            for pool in await api.get("/jobservice/pools")
        ]

    columns: dict[str, Column] = {
        "worker": "worker_pool_id",
        "host": "host",
        "process": "pid",
        "since": when("start_at"),
        "runs": "runs",
    }
    show(ask(work), columns, as_json=as_json)


def _tell(run: Mapping[str, Any], *, worked_on: bool) -> None:
    words = f"Run {run['id']} of {run['kind']}"
    if run["status"] not in ENDS:
        typer.echo(hinted(f"{words} waits for a worker; entrepot job show {run['id']} --watch follows it."))
        if not worked_on:
            typer.echo("No worker runs now: it begins when the registry is started.", err=True)
        return
    result = "" if run["result"] is None else f" {json.dumps(run['result'], ensure_ascii=False)}"
    typer.echo(printable(f"{words}: {run['status']}.{result}{_reason(run)}"))


def _reason(run: Mapping[str, Any]) -> str:
    return "" if run["error"] is None else f" {run['error']}"


def _act(kind: str, action: str) -> None:
    async def work(api: Api) -> None:
        if "/" in kind:
            raise ApiRefused(f"there is no kind of job {kind}; entrepot job kinds lists all")
        await api.put(f"/jobservice/queues/{kind}", {"action": action})

    ask(work)
