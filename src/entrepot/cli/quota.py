"""`entrepot quota`: how much projects use, and how much they may."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api
from entrepot.cli.management.output import Column, show
from entrepot.cli.management.place import ask
from entrepot.cli.management.projects import project_id
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import spelt

app = Noun()

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Name of the project.")]
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_NONE: Final = "none"
_UNLIMITED: Final = -1
_STEP: Final = 1024
_MOST_DIGITS: Final = 18


@app.command("list")
def list_command(*, as_json: AsJson = False) -> None:
    """List what all projects use and may use."""
    show(ask(lambda api: api.every("/quotas")), _COLUMNS, as_json=as_json)


@app.command("show")
def show_command(project: Project, *, as_json: AsJson = False) -> None:
    """Show one project's quota."""

    async def work(api: Api) -> list[Any]:
        return [await api.get(f"/quotas/{await project_id(api, project)}")]

    show(ask(work), _COLUMNS, as_json=as_json)


@app.command("set")
def set_command(
    project: Project,
    *,
    size: Annotated[str | None, typer.Option("--size", help="Most bytes: 10GiB, 500M, or none.")] = None,
    soft_size: Annotated[str | None, typer.Option("--soft-size", help="From where on pushes are told.")] = None,
    artifacts: Annotated[str | None, typer.Option("--artifacts", help="Most artifacts, or none.")] = None,
    repositories: Annotated[str | None, typer.Option("--repositories", help="Most repositories, or none.")] = None,
    charge: Annotated[
        str | None, typer.Option("--charge", help="shared: a blob counts once; full: for each artifact.")
    ] = None,
) -> None:
    """Say how much a project may use; what is not named stays."""
    hard = {"storage": _bytes(size), "artifacts": _count(artifacts), "repositories": _count(repositories)}
    body: dict[str, Any] = {
        "hard": {name: value for name, value in hard.items() if value is not None},
        "soft": {} if soft_size is None else {"storage": _bytes(soft_size)},
        "charge": charge,
    }

    async def work(api: Api) -> None:
        await api.put(f"/quotas/{await project_id(api, project)}", body)

    ask(work)
    typer.echo(f"The quota of {project} is set.")


def _bytes(text: str | None) -> int | None:
    """Read a size; a letter stands for a power of 1024."""
    if text is None or text == _NONE:
        return None if text is None else _UNLIMITED
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size; write 10GiB, 500M, a number of bytes, or none")
    if len(match[1]) > _MOST_DIGITS:
        raise typer.BadParameter("that is more than any disk has")
    return int(float(match[1]) * _STEP ** " kmgtp".index(match[2].lower() or " "))


def _count(text: str | None) -> int | None:
    if text is None or text == _NONE:
        return None if text is None else _UNLIMITED
    if not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is no number; write one, or none")
    return int(text)


def _amount(value: int) -> str:
    return _NONE if value == _UNLIMITED else spelt(value)


def _number(value: int) -> str:
    return _NONE if value == _UNLIMITED else str(value)


_COLUMNS: Final[dict[str, Column]] = {
    "project": lambda entry: entry["ref"]["name"],
    "used": lambda entry: spelt(entry["used"]["storage"]),
    "limit": lambda entry: _amount(entry["hard"]["storage"]),
    "told from": lambda entry: _amount(entry["soft"]["storage"]),
    "artifacts": lambda entry: str(entry["used"]["artifacts"]),
    "most artifacts": lambda entry: _number(entry["hard"]["artifacts"]),
    "most repositories": lambda entry: _number(entry["hard"]["repositories"]),
    "charge": "charge",
}
