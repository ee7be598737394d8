"""`entrepot usage`: where the space went, and what deleting something would free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, part
from entrepot.cli.management.output import Column, ago, show
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import hinted
from entrepot.cli.usage_words import (
    DAYS,
    DISK_DAYS,
    IMAGES,
    LAYERS,
    PAIRS,
    PROJECTS,
    REPOSITORIES,
    TAGS,
    disk_rows,
    duplicates,
    foretold,
    tell,
)
from entrepot.oci.reference import DEFAULT_PROJECT
from entrepot.telemetry.words import spelt

app = Noun()

Project = Annotated[str | None, typer.Option("--project", help="Of this project; without it, of all.")]
Count = Annotated[int, typer.Option("--count", min=1, max=50, help="How many are shown.")]
_STEP: Final = 50
_NO_ANALYSIS: Final = "No analysis has been made yet: entrepot job start analysis"
_NOT_ANALYSED: Final = "No analysis has seen anything of this yet: entrepot job start analysis"


@app.command("show")
def show_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A project, or a repository as team/app; without it, all projects."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what projects use, the repositories of one, or the tags of a repository."""

    async def work(api: Api) -> tuple[list[Any], Mapping[str, Column]]:
        if name is None:
            return await api.every("/usage/projects"), PROJECTS
        if "/" not in name:
            return await api.every(f"/projects/{part(name)}/usage/repositories"), REPOSITORIES
        return await _tags(api, name), TAGS

    found, columns = ask(work)
    show(found, columns, as_json=as_json)
    if found and not as_json and columns is not TAGS and all(entry["analysed"] is None for entry in found):
        typer.echo(hinted(_NOT_ANALYSED))


@app.command("disk")
def disk_command(*, as_json: AsJson = False) -> None:
    """Show how full the disk is, and what the last analysis found in all."""
    found = ask(lambda api: api.get("/usage"))
    if as_json:
        typer.echo(json.dumps(found))
        return
    analysis = found["analysis"]
    show(disk_rows(found), {"what": "what", "bytes": lambda row: spelt(row["bytes"]), "": ""}, as_json=False)
    typer.echo(hinted(_NO_ANALYSIS) if analysis is None else f"Analysed {ago(analysis['finished_at'])}.")


@app.command("top")
def top_command(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="images or layers.")] = "images",
    *,
    project: Project = None,
    count: Count = 10,
    as_json: AsJson = False,
) -> None:
    """List the largest images or layers that the last analysis found."""
    if what not in ("images", "layers"):
        raise typer.BadParameter("say images or layers", param_hint="WHAT")
    found = ask(lambda api: api.get(f"{_base(project)}/{what}", limit=count))
    if found or as_json:
        show(found, IMAGES if what == "images" else LAYERS, as_json=as_json)
    else:
        typer.echo(hinted(f"No analysis has found any {what} yet: entrepot job start analysis"))


@app.command("would-free")
def would_free_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Tags and manifests: team/app:v1, team/app@sha256:..."),
    ] = None,
    *,
    repository: Annotated[
        list[str] | None, typer.Option("--repository", metavar="NAME", help="A whole repository; several times.")
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option("--project", metavar="NAME", help="A whole project; several times.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what deleting something would free once trash and grace are over; nothing is deleted."""
    given = names or []
    body: dict[str, Any] = {
        "manifests": [name for name in given if "@" in name],
        "tags": [name for name in given if "@" not in name],
        "repositories": repository or [],
    }
    if not any(body.values()) and not project:
        raise typer.BadParameter("name tags, manifests, --repository or --project", param_hint="NAME")
    told = ask(lambda api: _would_free(api, body, project or []))
    if as_json:
        typer.echo(json.dumps(told))
    else:
        tell(told)


@app.command("history")
def history_command(
    *,
    project: Project = None,
    days: Annotated[int, typer.Option("--days", min=1, max=731, help="How many days back.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Show what was used day by day: by one project, or on the disk."""
    found = ask(lambda api: api.get(f"{_base(project)}/history", days=days))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        show(found["points"], DISK_DAYS if project is None else DAYS, as_json=False)


@app.command("forecast")
def forecast_command(
    *,
    project: Project = None,
    days: Annotated[int, typer.Option("--days", min=7, max=731, help="From how many of the last days.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Foretell when a project's quota is used up, or when the disk is full, if things go on as they did."""
    told = ask(lambda api: api.get(f"{_base(project)}/forecast", days=days))
    typer.echo(json.dumps(told) if as_json else foretold(told, "The disk" if project is None else f"Project {project}"))


@app.command("duplicates")
def duplicates_command(*, as_json: AsJson = False) -> None:
    """Show about how many bytes of layers are in others that are nearly the same, as the job `duplicates` found."""
    found = ask(lambda api: api.get("/usage/duplicates"))
    if as_json:
        typer.echo(json.dumps(found))
    elif found["finished_at"] is None:
        typer.echo(hinted("Nobody has looked yet: entrepot job start duplicates"))
    else:
        typer.echo(duplicates(found))
        show(found["pairs"], PAIRS, as_json=False)


def _base(project: str | None) -> str:
    return "/usage" if project is None else f"/projects/{part(project)}/usage"


async def _would_free(api: Api, body: dict[str, Any], projects: list[str]) -> Any:
    """Ask one project where it is about one, since its members may; else ask for all."""
    every = {_project(name) for names in body.values() for name in names} | set(projects)
    if len(every) > 1:
        return await api.post("/usage/would-free", {**body, "projects": projects})
    path = f"/projects/{part(every.pop())}/usage/would-free"
    return await api.post(path, {**body, "everything": bool(projects)})


def _project(name: str) -> str:
    first, slash, _ = name.partition("/")
    return first if slash else DEFAULT_PROJECT


async def _tags(api: Api, name: str) -> list[Any]:
    project, _, rest = name.partition("/")
    found: list[Any] = []
    while True:
        last = found[-1]["name"] if found else ""
        path = f"/projects/{part(project)}/repositories/{part(rest)}/usage"
        some = await api.get(path, limit=_STEP, last=last)
        found += some
        if len(some) < _STEP:
            return found
