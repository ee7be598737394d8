"""`entrepot trash`: what was deleted and can be restored."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import Api, part
from entrepot.cli.management.output import Column, short, show, when
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun
from entrepot.cli.program.command_line import hinted
from entrepot.cli.program.registry_choice import meant
from entrepot.telemetry.words import counted

app = Noun()

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The number that the list shows.")]
Project = Annotated[str | None, typer.Option("--project", help="Of this project; without it, of all.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_command(
    *,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List what was deleted, the latest first."""
    path = "/trash" if project is None else f"/projects/{part(project)}/trash"
    found = ask(lambda api: api.every(path))
    columns: dict[str, Column] = {
        "number": "id",
        "what": _what,
        "tags": "tags",
        "by": "deleted_by",
        "deleted": when("deletion_time"),
        "leaves": when("expiry_time"),
    }
    show(found, columns, as_json=as_json, of="entry of the trash")


@app.command("restore")
def restore_command(
    number: Number,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move tags that name something else now, unless a rule keeps them.")
    ] = False,
) -> None:
    """Restore something with what went with it: an index with its images, an image with its signatures."""
    done = ask(lambda api: api.post(f"/trash/{number}/restore", {"replace": replace}))
    typer.echo(f"{done['repository'] or done['project']} is restored.")
    if done["tags"]:
        typer.echo(f"Set again: {', '.join(done['tags'])}")
    if done["aside"]:
        taken = ", ".join(done["aside"])
        typer.echo(hinted(f"Taken meanwhile, and left as they are: {taken}; see entrepot tag history"))


@app.command("purge")
def purge_command(
    number: Number,
    *,
    reason: Annotated[str, typer.Option("--reason", help="For the audit log; never the secret itself.")] = "",
    yes: Yes = False,
) -> None:
    """Remove something for good now, with what went with it, and from the history of its tags."""
    _confirm(f"Remove number {number} for good?", yes=yes)
    ask(lambda api: api.delete(f"/trash/{number}", reason=reason))
    typer.echo(f"Number {number} is gone for good.")


@app.command("empty")
def empty_command(
    *,
    project: Project = None,
    yes: Yes = False,
) -> None:
    """Remove for good what is in the trash, of one project or of all."""
    _confirm(f"Remove for good what is in the trash of {project or 'all projects'}?", yes=yes)
    path = "/trash" if project is None else f"/projects/{part(project)}/trash"
    count = ask(lambda api: _empty(api, path))
    typer.echo(f"{counted(count, 'manifest')} gone for good.")


async def _empty(api: Api, path: str) -> int:
    count = 0
    while True:
        done = await api.delete(path)
        count += int(done["manifests"])
        if not done["is_left"]:
            return count


def _what(entry: Any) -> str:
    place = entry["repository"] or entry["project"]
    if entry["kind"] == "manifest":
        return f"{place}@{short(entry['digest'])}"
    return f"{place} ({entry['kind']})"


def _confirm(question: str, *, yes: bool) -> None:
    if not yes:
        typer.confirm(f"{question} (in {meant().name})", abort=True)
