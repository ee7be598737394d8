"""`entrepot usage`: where the space went, and what deleting something would free."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, part
from entrepot.cli.management.output import Column, show
from entrepot.cli.management.place import ConfigFile, Data, Server, ask
from entrepot.oci.reference import DEFAULT_PROJECT
from entrepot.registry.quota import spelt

app = typer.Typer(no_args_is_help=True, help="Where the space went, and what deleting something would free.")

Project = Annotated[str | None, typer.Option("--project", help="Of this project; without it, of all.")]
Count = Annotated[int, typer.Option("--count", min=1, max=50, help="How many are shown.")]
_STEP: Final = 50


@app.command("show")
def show_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A project, or a repository as team/app; without it, all projects."),
    ] = None,
    *,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what projects use, the repositories of one, or the tags of a repository."""

    async def work(api: Api) -> tuple[list[Any], Mapping[str, Column]]:
        if name is None:
            return await api.every("/usage/projects"), _PROJECTS
        if "/" not in name:
            return await api.every(f"/projects/{part(name)}/usage/repositories"), _REPOSITORIES
        return await _tags(api, name), _TAGS

    found, columns = ask(server, config, data, work)
    show(found, columns, as_json=as_json)
    if not as_json and name is None and all(entry["analysed"] is None for entry in found):
        typer.echo("No analysis has been made yet: entrepot job start analysis")


@app.command("disk")
def disk_command(
    *, server: Server = None, config: ConfigFile = None, data: Data = None, as_json: AsJson = False
) -> None:
    """Show how full the disk is, and what the last analysis found in all."""
    found = ask(server, config, data, lambda api: api.get("/usage"))
    if as_json:
        typer.echo(json.dumps(found))
        return
    analysis = found["analysis"]
    rows = [
        {"what": "disk", "bytes": found["disk"]["total_bytes"], "": ""},
        {"what": "free", "bytes": found["disk"]["free_bytes"], "": ""},
        {"what": "stored for images", "bytes": found["stored_bytes"], "": f"{found['blobs']:,} blobs"},
        {"what": "logical", "bytes": found["logical_bytes"], "": f"{found['manifests']:,} manifests"},
        {"what": "in the trash only", "bytes": found["trash_bytes"], "": ""},
        {"what": "waiting for collection", "bytes": found["waiting_bytes"], "": ""},
        {"what": "lost", "bytes": found["lost_bytes"], "": ""},
    ]
    show(rows, {"what": "what", "bytes": lambda row: spelt(row["bytes"]), "": ""}, as_json=False)
    made = "No analysis has been made yet: entrepot job start analysis"
    typer.echo(made if analysis is None else f"Analysed until {analysis['finished_at']}.")


@app.command("top")
def top_command(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="images or layers.")] = "images",
    *,
    project: Project = None,
    count: Count = 10,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """List the largest images or layers that the last analysis found."""
    if what not in ("images", "layers"):
        raise typer.BadParameter("say images or layers", param_hint="WHAT")
    found = ask(server, config, data, lambda api: api.get(f"{_base(project)}/{what}", limit=count))
    show(found, _IMAGES if what == "images" else _LAYERS, as_json=as_json)


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
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
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
    told = ask(server, config, data, lambda api: _would_free(api, body, project or []))
    if as_json:
        typer.echo(json.dumps(told))
    else:
        _tell(told)


@app.command("history")
def history_command(
    *,
    project: Project = None,
    days: Annotated[int, typer.Option("--days", min=1, max=731, help="How many days back.")] = 30,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Show what was used day by day: by one project, or on the disk."""
    found = ask(server, config, data, lambda api: api.get(f"{_base(project)}/history", days=days))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        show(found["points"], _DISK_DAYS if project is None else _DAYS, as_json=False)


@app.command("forecast")
def forecast_command(
    *,
    project: Project = None,
    days: Annotated[int, typer.Option("--days", min=7, max=731, help="From how many of the last days.")] = 90,
    server: Server = None,
    config: ConfigFile = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Foretell when a project's quota is used up, or when the disk is full, if things go on as they did."""
    told = ask(server, config, data, lambda api: api.get(f"{_base(project)}/forecast", days=days))
    typer.echo(
        json.dumps(told) if as_json else _foretold(told, "The disk" if project is None else f"Project {project}")
    )


@app.command("duplicates")
def duplicates_command(
    *, server: Server = None, config: ConfigFile = None, data: Data = None, as_json: AsJson = False
) -> None:
    """Show about how many bytes of layers are in others that are nearly the same, as the job `duplicates` found."""
    found = ask(server, config, data, lambda api: api.get("/usage/duplicates"))
    if as_json:
        typer.echo(json.dumps(found))
    elif found["finished_at"] is None:
        typer.echo("Nobody has looked yet: entrepot job start duplicates")
    else:
        typer.echo(_duplicates(found))
        show(found["pairs"], _PAIRS, as_json=False)


def _duplicates(found: Mapping[str, Any]) -> str:
    not_seen = "".join(f" {count:,} were not looked into: {why}." for why, count in found["not_looked_into"].items())
    return (
        f"About {spelt(found['duplicate_bytes'])} of {spelt(found['layer_bytes'])} in {found['layers']:,} layers are "
        f"in other layers too, as seen on {found['finished_at']}.{not_seen}"
    )


def _base(project: str | None) -> str:
    return "/usage" if project is None else f"/projects/{part(project)}/usage"


def _foretold(told: Mapping[str, Any], what: str) -> str:
    used = f"{what} uses {spelt(told['used_bytes'])}"
    if told["limit_bytes"] is None:
        return f"{used}, and has no limit."
    used = f"{used} of {spelt(told['limit_bytes'])}"
    if told["outlook"] == "full":
        return f"{used}: it is full."
    if told["growth"] is None:
        return f"{used}. There is not enough history: {told['days_known']} days of {told['days_needed']} are known."
    return f"{used}. {_growing(told)}"


def _growing(told: Mapping[str, Any]) -> str:
    growth = told["growth"]
    rate = f"It grows by {_a_day(growth['bytes_a_day'])} ({_a_day(growth['lowest'])} to {_a_day(growth['highest'])})."
    if told["full_on"] is None:
        soonest = (
            "" if told["earliest"] is None else f" At the fastest that is likely, it is full on {told['earliest']}."
        )
        return f"{rate} It will not be full within ten years at this rate.{soonest}"
    latest = f"and {told['latest']}" if told["latest"] else "and never"
    return f"{rate} It will be full on {told['full_on']}, between {told['earliest']} {latest}."


def _a_day(growth: float) -> str:
    return f"{'-' if growth < 0 else ''}{spelt(round(abs(growth)))} a day"


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


def _tell(told: Mapping[str, Any]) -> None:
    disk = told["disk"]
    if disk is not None:
        typer.echo(f"{spelt(disk['bytes'])} would be free on the disk; {spelt(disk['shared_bytes'])} stay in use.")
    used = sum(one["bytes"] for one in told["projects"])
    of = "the project" if len(told["projects"]) == 1 else "the projects"
    typer.echo(f"{spelt(used)} less would count for the quota of {of}.")
    also = f", {told['followers']:,} of them because they belong to others" if told["followers"] else ""
    typer.echo(f"{told['manifests']:,} manifests would go{also}.")
    for one in told["kept"]:
        typer.echo(f"{one['what']} stays: {one['reason']}")
    if told["more_kept"]:
        typer.echo("More would stay; ask about less at a time.")


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


def _in(place: str, name: str) -> Column:
    """Show bytes that lie one level down, and nothing where they are not known."""

    def column(entry: Mapping[str, Any]) -> str:
        value = None if entry[place] is None else entry[place][name]
        return "" if value is None else spelt(value)

    return column


def _sums(place: str) -> dict[str, Column]:
    return {name: _in(place, f"{name}_bytes") for name in ("logical", "stored", "own", "unique")}


_PROJECTS: Final[dict[str, Column]] = {
    "project": "name",
    "used": _in("now", "used_bytes"),
    **_sums("analysed"),
    "trash": _in("analysed", "trash_bytes"),
    "artifacts": lambda entry: entry["now"]["manifests"],
}
_REPOSITORIES: Final[dict[str, Column]] = {"repository": "name", **_sums("analysed")}
_TAGS: Final[dict[str, Column]] = {"tag": "name", **_sums("sizes"), "digest": "digest"}
_IMAGES: Final[dict[str, Column]] = {
    "repository": "repository",
    "tags": "tags",
    **_sums("sizes"),
    "digest": "digest",
}


def _bytes(name: str) -> Column:
    return lambda entry: "" if entry[name] is None else spelt(entry[name])


_DAYS: Final[dict[str, Column]] = {
    "day": "day",
    "used": _bytes("used_bytes"),
    "logical": _bytes("logical_bytes"),
    "stored": _bytes("stored_bytes"),
    "artifacts": "manifests",
}
_DISK_DAYS: Final[dict[str, Column]] = {
    "day": "day",
    "disk": _bytes("total_bytes"),
    "used": _bytes("used_bytes"),
    "free": _bytes("free_bytes"),
    "stored for images": _bytes("stored_bytes"),
}
_PAIRS: Final[dict[str, Column]] = {
    "layer": "digest",
    "is like": "like",
    "size": _bytes("bytes"),
    "share": lambda pair: f"{pair['share']:.0%}",
    "duplicate": _bytes("duplicate_bytes"),
}
_LAYERS: Final[dict[str, Column]] = {
    "digest": "digest",
    "size": lambda entry: spelt(entry["bytes"]),
    "repositories": "repositories",
    "manifests": "manifests",
}
