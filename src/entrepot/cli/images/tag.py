"""`entrepot tag`: the tags of a repository, what they pointed at, and putting them back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.images.names import Name, Repository, repository_named, tag_named, tags_of
from entrepot.cli.management.api import Api, part
from entrepot.cli.management.listing import Limit, some
from entrepot.cli.management.output import Column, show, show_made, size, when
from entrepot.cli.management.output import digest as digest_column
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun, destructive
from entrepot.cli.program.command_line import hinted
from entrepot.telemetry.words import counted

app = Noun()

Tag = Annotated[str, typer.Argument(metavar="NAME:TAG", help="A repository's full name and the tag: team/app:v1.")]
Tags = Annotated[
    list[str],
    typer.Argument(metavar="NAME:TAG...", help="A repository's full name and the tag: team/app:v1; several at once."),
]


@app.command("list")
def list_command(repository: Repository, *, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the tags of a repository, the image that was pushed last first."""
    name = repository_named(repository)

    async def work(api: Api) -> tuple[list[Any], int]:
        return await some(api, f"{name.path}/artifacts", limit, q="tags=*", with_accessory=False)

    images, total = ask(work)
    rows = [
        {"tag": tag, **{key: image[key] for key in ("digest", "size", "push_time")}}
        for image in images
        for tag in tags_of(image)
    ]
    if total > len(images) and not as_json:
        typer.echo(f"{counted(total, 'image')} with tags; those of the first {len(images):,}:")
    columns: dict[str, Column] = {
        "tag": "tag",
        "digest": digest_column("digest"),
        "size": size("size"),
        "pushed": when("push_time"),
    }
    show(rows, columns, as_json=as_json, of="tag")


@app.command("remove")
@destructive()
def remove_command(tags: Tags) -> None:
    """Take tags off; the image stays, by its other tags or by its digest, and `tag restore` puts the tag back."""
    for text in tags:
        name = tag_named(text)
        ask(lambda api, name=name: api.delete(f"{name.image_path}/tags/{part(name.reference)}"))  # type: ignore[misc]
        typer.echo(hinted(f"{name} is removed. To put it back: entrepot tag restore {name}"))


@app.command("history")
def history_command(tag: Tag, *, as_json: AsJson = False) -> None:
    """List the moves of a tag, also of one that is deleted, the latest first."""
    name = tag_named(tag)
    found = ask(lambda api: api.every(f"{_path(name)}/history"))
    if not found and not as_json:
        typer.echo(f"error: no moves of {name} are known", err=True)
        raise typer.Exit(1)
    columns: dict[str, Column] = {
        "when": when("time"),
        "what": "action",
        "digest": digest_column("digest"),
        "by": "actor",
        "the manifest is": "whereabouts",
    }
    show(found, columns, as_json=as_json)


@app.command("restore")
def restore_command(
    tag: Tag,
    digest: Annotated[str | None, typer.Argument(help="What it is to name; without it, what it named before.")] = None,
    *,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="What it named then: 2026-01-02T03:04:05Z.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Point a tag at what it named before; a manifest that lies in the trash comes back with it."""
    name = tag_named(tag)
    body = {key: value for key, value in (("digest", digest), ("at", at)) if value is not None}
    done = ask(lambda api: api.post(f"{_path(name)}/restore", body))
    show_made(done, f"{name} names {done['digest']}.", as_json=as_json)


def _path(name: Name) -> str:
    return f"{name.path}/tags/{part(name.reference)}"
