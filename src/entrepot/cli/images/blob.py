"""`entrepot blob`: what is stored under a digest, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.management.api import part
from entrepot.cli.management.output import Column, show, show_one, when
from entrepot.cli.management.output import digest as digest_column
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun
from entrepot.telemetry.words import spelt

app = Noun()


@app.command("why")
def why_command(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="Of a blob or a manifest: sha256:...")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say why something is still stored: the manifests and tags that need it, the trash, or its grace."""
    found: dict[str, Any] = ask(lambda api: api.get(f"/blobs/{part(digest)}/why"))
    if as_json:
        show_one(found, as_json=True)
        return
    named = {name: found[name] for name in ("digest", "state", "repositories")}
    show_one({**named, "size": spelt(found["size"])}, as_json=False)
    columns: dict[str, Column] = {
        "kept because": _sentence,
        "repository": "repository",
        "digest": digest_column("digest"),
        "tags": "tags",
        "until": when("until"),
    }
    show(found["reasons"], columns, as_json=False)
    if found["more"]:
        typer.echo("There are more reasons than these.")


def _sentence(reason: Mapping[str, Any]) -> str:
    return {
        "manifest": f"a manifest needs it as {reason['role']}",
        "tag": "it has tags",
        "root": "it was pushed for itself",
        "index": "an index lists it",
        "subject": "it refers to a manifest that is there",
        "trash": "the trash can restore what needs it",
        "grace": "nothing needs it; its grace is not over",
        "deleting": "it is being taken away now",
    }.get(str(reason["reason"]), str(reason["reason"]))
