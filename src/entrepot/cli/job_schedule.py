"""`entrepot job schedule`: when jobs run by themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, ApiRefused, part
from entrepot.cli.management.output import Column, show, when
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun

app = Noun()

Kind = Annotated[str, typer.Argument(metavar="KIND", help="Kind of job, as `entrepot job kinds` lists them.")]
Subject = Annotated[str, typer.Option("--subject", help="What it is about, for kinds that have subjects.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="What runs are given: dry_run=true; repeat it."),
]


def _line(entry: Mapping[str, Any]) -> str:
    zone = "" if entry["time_zone"] == "UTC" else f" in {entry['time_zone']}"
    return f"{entry['cron']}{zone}" if entry["cron"] else "never"


_SCHEDULES: Final[Mapping[str, Column]] = {
    "kind": lambda entry: f"{entry['kind']} {entry['subject']}".strip(),
    "schedule": _line,
    "next": when("next_time"),
    "set by": "origin",
    "parameters": "parameters",
}


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List the schedules."""
    show(ask(lambda api: api.every("/jobs/schedules")), _SCHEDULES, as_json=as_json, of="schedule")


@app.command("set")
def set_command(
    kind: Kind,
    line: Annotated[
        str,
        typer.Argument(
            metavar="SCHEDULE", help="A cron line of 5 fields, or of 6 with seconds first; @daily; @every 12h; never."
        ),
    ],
    *,
    time_zone: Annotated[str, typer.Option("--time-zone", help="Whose clock the line means.")] = "UTC",
    parameters: Parameters = None,
    subject: Subject = "",
    as_json: AsJson = False,
) -> None:
    """Set when a kind of job runs, whatever the configuration says about it."""

    async def work(api: Api) -> list[Any]:
        body = {
            "cron": "" if line == "never" else line,
            "time_zone": time_zone,
            "subject": subject,
            "parameters": await typed(api, kind, parameters),
        }
        return [await api.put(f"/jobs/schedules/{part(kind)}", body)]

    show(ask(work), _SCHEDULES, as_json=as_json)


@app.command("reset")
def reset_command(kind: Kind, *, subject: Subject = "") -> None:
    """Let the configuration decide again when a kind of job runs."""
    ask(lambda api: api.delete(f"/jobs/schedules/{part(kind)}", subject=subject or None))
    typer.echo(f"The schedule of {kind} is that of the configuration, if it has one.")


async def typed(api: Api, kind: str, given: Sequence[str] | None) -> dict[str, Any]:
    """Return parameters as their kind takes them.

    Raises:
        ApiRefused: One is not of the form NAME=VALUE, or not of its type.
    """
    if not given:
        return {}
    kinds = await api.get("/jobs/kinds")
    defaults: Mapping[str, Any] = next((each["parameters"] for each in kinds if each["name"] == kind), {})
    return dict(_pair(text, defaults) for text in given)


def _pair(text: str, defaults: Mapping[str, Any]) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ApiRefused(f"write parameters as NAME=VALUE, not {text!a}")
    if isinstance(defaults.get(name, ""), str):
        return name, value
    try:
        return name, json.loads(value)
    except ValueError:
        raise ApiRefused(f"{name} must be like {json.dumps(defaults[name])}, not {value!a}") from None
