"""`entrepot image`: what tags name, with all that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from entrepot.cli.folder import AsJson
from entrepot.cli.images.names import Image, Name, image_named, repository_named, tags_of
from entrepot.cli.management.api import Api, part
from entrepot.cli.management.listing import Limit, some
from entrepot.cli.management.output import Column, digest, short, show, show_made, show_one, size, time_of, when
from entrepot.cli.management.place import ask
from entrepot.cli.program.classes import Noun, destructive
from entrepot.cli.program.command_line import given, hinted
from entrepot.telemetry.words import counted, spelt

app = Noun()

#: How many tags of an image are named in a table.
_TAGS: Final = 3

Images = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="team/app:v1, or team/app@sha256:...; several at once.")
]
Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="The repository to copy to, with another tag if wanted: team/app:v1.")
]


@app.command("list")
def list_command(
    repository: Annotated[
        str | None, typer.Argument(metavar="REPOSITORY", help="Only of this repository; without it, of all.")
    ] = None,
    *,
    project: Annotated[str | None, typer.Option("--project", help="Only of this project.")] = None,
    untagged: Annotated[bool, typer.Option("--untagged", help="Only those without a tag.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List images, of each repository or project the newest first."""
    name = None if repository is None else repository_named(repository)
    if name is not None and project is not None:
        raise typer.BadParameter("a repository names its project; leave --project out")
    query = "tags=nil" if untagged else None

    async def work(api: Api) -> tuple[list[Any], int]:
        if name is not None:
            return await some(api, f"{name.path}/artifacts", limit, q=query)
        projects = [project] if project is not None else [one["name"] for one in await api.every("/projects")]
        found: list[Any] = []
        total = 0
        for each in projects:
            part_of, count = await some(api, f"/projects/{part(each)}/artifacts", max(limit - len(found), 1), q=query)
            found, total = found + part_of, total + count
        return found[:limit], total

    found, total = ask(work)
    if total > len(found) and not as_json:
        typer.echo(f"{counted(total, 'image')}; the first {len(found):,} are:")
    show(found, {**({} if name else _WHERE), **_COLUMNS}, as_json=as_json, of="image")


@app.command("show")
def show_command(image: Image, *, as_json: AsJson = False) -> None:
    """Show an image: what it runs on, its tags, its parts and what refers to it."""

    async def work(api: Api) -> Any:
        name = await image_named(api, image)
        return await api.get(name.image_path, with_label=True)

    found = ask(work)
    show_one(found if as_json else _for_people(found), as_json=as_json)


@app.command("remove")
@destructive()
def remove_command(images: Images) -> None:
    """Remove images with all their tags, whichever names them; they lie in the trash for as long as that keeps them.

    To take a tag alone off an image: entrepot tag remove.
    """
    for image in images:
        name, found = ask(lambda api, image=image: _found(api, image))  # type: ignore[misc]
        tags = tags_of(found)
        others = [tag for tag in tags if tag != name.reference]
        if others and not given().yes:
            what = f"{name} has {'also ' if name.reference in tags else ''}the tags {_named(others)}, which go with it"
            typer.confirm(f"{what}. Remove the image?", abort=True, err=True)
        place = f"{name.path}/artifacts/{part(found['digest'])}"
        ask(lambda api, place=place: api.delete(place))  # type: ignore[misc]
        with_tags = f" with {counted(len(tags), 'tag')}: {_named(tags)}" if tags else ""
        typer.echo(f"{name.repository}@{short(found['digest'])} is removed{with_tags}.")
    typer.echo(hinted("To bring it back: entrepot trash list"))


@app.command("copy")
def copy_command(source: Image, target: Target, *, as_json: AsJson = False) -> None:
    """Copy an image to another repository of the registry, with its tags, what it lists and what refers to it."""

    async def work(api: Api) -> tuple[Name, Any]:
        name = await image_named(api, source)
        wanted = await _target(api, target, name)
        same = wanted.reference == name.reference
        copied = name.reference if same else (await api.get(name.image_path))["digest"]
        origin = f"{name.repository}{'@' if ':' in copied else ':'}{copied}"
        await api.post(f"{wanted.path}/artifacts", query={"from": origin})
        if not same and not wanted.is_digest:
            await api.post(f"{wanted.path}/artifacts/{part(copied)}/tags", {"name": wanted.reference})
        return wanted, await api.get(wanted.image_path)

    name, made = ask(work)
    show_made(made, f"{name} is there: {short(made['digest'])}", as_json=as_json)


async def _target(api: Api, text: str, source: Name) -> Name:
    """Return where a copy goes: to the tag or digest of its source, unless the target names a tag."""
    wanted = await image_named(api, text) if ":" in text.rpartition("/")[2] else repository_named(text)
    return Name(project=wanted.project, rest=wanted.rest, reference=wanted.reference or source.reference)


async def _found(api: Api, image: str) -> tuple[Name, Any]:
    name = await image_named(api, image)
    return name, await api.get(name.image_path)


def _named(tags: list[str]) -> str:
    more = len(tags) - _TAGS
    return f"{', '.join(tags[:_TAGS])} and {more:,} more" if more > 0 else ", ".join(tags)


def _platforms(image: Mapping[str, Any]) -> list[str]:
    """Return what an image runs on, or the images that an index lists."""
    listed = [one["platform"] for one in image["references"] or [] if one["platform"]]
    return [_platform(one) for one in listed or [image["extra_attrs"] or {}]]


def _platform(written: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (written.get("os"), written.get("architecture"), written.get("variant"))))


def _for_people(image: Mapping[str, Any]) -> dict[str, Any]:
    accessories = [f"{one['type']} {short(one['digest'])}" for one in image["accessories"] or []]
    shown = {
        "repository": image["repository_name"],
        "digest": image["digest"],
        "tags": tags_of(image),
        "type": image["type"].lower(),
        "platform": [text for text in _platforms(image) if text],
        "size": spelt(image["size"]),
        "pushed": time_of(image["push_time"]),
        "pulled": "" if image["pull_time"].startswith("0001-") else time_of(image["pull_time"]),
        "labels": [label["name"] for label in image["labels"] or []],
        "referred to by": accessories,
    }
    return {name: value for name, value in shown.items() if value}


_WHERE: Final[dict[str, Column]] = {"repository": "repository_name"}
_COLUMNS: Final[dict[str, Column]] = {
    "tags": lambda image: _named(tags_of(image)),
    "digest": digest("digest"),
    "platform": lambda image: ", ".join(filter(None, _platforms(image))),
    "size": size("size"),
    "pushed": when("push_time"),
}
