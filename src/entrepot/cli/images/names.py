"""Names of repositories and images, as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from entrepot.cli.management.api import Api, ApiRefused, part
from entrepot.oci.reference import DEFAULT_PROJECT

Repository = Annotated[str, typer.Argument(metavar="REPOSITORY", help="Full name of a repository: team/app.")]
Image = Annotated[
    str, typer.Argument(metavar="IMAGE", help="team/app:v1, or team/app@sha256:... (the beginning of it is enough).")
]

#: What docker takes for the host of a registry, in front of a name.
_HOST: Final = re.compile(r"(?:[^/]*[.:][^/]*|localhost)/(?=.)")
_LATEST: Final = "latest"
_WHOLE: Final = 64
#: How many images are looked through for the beginning of a digest.
_MOST: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A repository, with a tag or a digest where an image is meant."""

    project: str
    rest: str
    reference: str = ""

    @property
    def repository(self) -> str:
        """Return the full name of the repository."""
        return f"{self.project}/{self.rest}"

    @property
    def is_digest(self) -> bool:
        """Whether an image is named by its digest."""
        return ":" in self.reference

    @property
    def path(self) -> str:
        """Return the repository's path in the API."""
        return f"/projects/{part(self.project)}/repositories/{part(self.rest)}"

    @property
    def image_path(self) -> str:
        """Return the image's path in the API."""
        return f"{self.path}/artifacts/{part(self.reference)}"

    def __str__(self) -> str:
        between = "" if not self.reference else "@" if self.is_digest else ":"
        return f"{self.repository}{between}{self.reference}"


def repository_named(text: str) -> Name:
    """Read the name of a repository.

    Raises:
        typer.Exit: It names an image; what to write is on standard error.
    """
    found = _parsed(text)
    if found.reference:
        typer.echo(f"error: {text!r} names an image; write the repository alone: {found.repository}", err=True)
        raise typer.Exit(2)
    return found


def tag_named(text: str) -> Name:
    """Read the name of a tag.

    Raises:
        typer.Exit: It names none; what to write is on standard error.
    """
    found = _parsed(text)
    if not found.reference or found.is_digest:
        typer.echo(f"error: {text!r} names no tag; write it as team/app:v1", err=True)
        raise typer.Exit(1)
    return found


async def image_named(api: Api, text: str) -> Name:
    """Read the name of an image: by a tag (`latest` without one), or by its digest, of which the beginning is enough.

    Raises:
        ApiRefused: No image has a digest that begins so, or several have.
    """
    found = _parsed(text)
    if not found.reference:
        return Name(project=found.project, rest=found.rest, reference=_LATEST)
    if not found.is_digest or len(found.reference.partition(":")[2]) >= _WHOLE:
        return found
    return Name(project=found.project, rest=found.rest, reference=await _whole(api, found))


async def _whole(api: Api, name: Name) -> str:
    """Return the digest that begins like this."""
    found: set[str] = set()
    looked_at = 0
    async for image in api.entries(f"{name.path}/artifacts", q="base=*", with_tag=False, with_accessory=True):
        digests = [image["digest"], *(each["digest"] for each in image["accessories"] or [])]
        found.update(digest for digest in digests if digest.startswith(name.reference))
        looked_at += 1
        if looked_at == _MOST:
            raise ApiRefused(f"{name.repository} has more than {_MOST:,} images; write the whole digest")
    if len(found) == 1:
        return found.pop()
    what = "has no image" if not found else f"has {len(found)} images"
    raise ApiRefused(f"{name.repository} {what} whose digest begins with {name.reference}")


def _parsed(text: str) -> Name:
    bare = _HOST.sub("", text.removeprefix("docker://"), count=1)
    repository, at, digest = bare.partition("@")
    colon = repository.rfind(":")
    tag = repository[colon + 1 :] if colon > repository.rfind("/") else ""
    repository = repository[:colon] if tag else repository
    project, slash, rest = repository.partition("/")
    project, rest = (project, rest) if slash else (DEFAULT_PROJECT, project)
    if not (project and rest) or (at and ":" not in digest):
        typer.echo(f"error: {text!r} names nothing; write team/app, team/app:v1 or team/app@sha256:...", err=True)
        raise typer.Exit(2)
    return Name(project=project, rest=rest, reference=digest or tag)


def tags_of(image: Any) -> list[str]:
    """Return the tags of an image as the API shows it."""
    return [tag["name"] for tag in image["tags"] or []]
