"""`entrepot tag`: what tags pointed at, and putting them back."""

from __future__ import annotations

from typing import Annotated

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import part
from entrepot.cli.management.output import Column, show
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun
from entrepot.oci.reference import DEFAULT_PROJECT

app = Noun()

Name = Annotated[str, typer.Argument(metavar="NAME:TAG", help="A repository's full name and the tag: team/app:v1.")]


@app.command("history")
def history_command(name: Name, *, as_json: AsJson = False) -> None:
    """List the moves of a tag, also of one that is deleted, the latest first."""
    found = ask(lambda api: api.every(f"{_path(name)}/history"))
    if not found and not as_json:
        typer.echo(
            f"error: no moves of {name} are known; entrepot looks for a repository's full name and a tag", err=True
        )
        raise typer.Exit(1)
    columns: dict[str, Column] = {
        "when": "time",
        "what": "action",
        "digest": "digest",
        "by": "actor",
        "the manifest is": "whereabouts",
    }
    show(found, columns, as_json=as_json)


@app.command("restore")
def restore_command(
    name: Name,
    digest: Annotated[str | None, typer.Argument(help="What it is to name; without it, what it named before.")] = None,
    *,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="What it named then: 2026-01-02T03:04:05Z.")
    ] = None,
) -> None:
    """Point a tag at what it named before; a manifest that lies in the trash comes back with it."""
    body = {key: value for key, value in (("digest", digest), ("at", at)) if value is not None}
    done = ask(lambda api: api.post(f"{_path(name)}/restore", body))
    typer.echo(f"{name} names {done['digest']}.")


def _path(name: str) -> str:
    """Return the path of `project/repository:tag`.

    Raises:
        typer.Exit: It is not written like that; what to write is on standard error.
    """
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag or not repository:
        typer.echo(f"error: {name!r} names no tag; write it as team/app:v1", err=True)
        raise typer.Exit(1)
    project, slash, rest = repository.partition("/")
    project, rest = (project, rest) if slash else (DEFAULT_PROJECT, project)
    return f"/projects/{part(project)}/repositories/{part(rest)}/tags/{part(tag)}"
