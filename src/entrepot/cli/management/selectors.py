"""Which tags and repositories a rule is about, as options say it and as tables show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import typer

from entrepot.lifecycle.selectors import EXCLUDES, MATCHES, REPOSITORY_EXCLUDES, REPOSITORY_MATCHES

_EVERYTHING: Final = "**"

Tags = Annotated[str, typer.Option("--tags", help="Only tags that match this pattern: v*, {main,release-*}.")]
ButTags = Annotated[str, typer.Option("--but-tags", help="No tags that match this pattern.")]
Repositories = Annotated[
    str, typer.Option("--repositories", help="Only repositories that match, named without the project: base/**.")
]
ButRepositories = Annotated[str, typer.Option("--but-repositories", help="No repositories that match.")]


def selectors(pattern: str, excluded: str) -> list[dict[str, str]]:
    """Return selectors for tags."""
    return _written(pattern, excluded, MATCHES, EXCLUDES)


def repository_selectors(pattern: str, excluded: str) -> list[dict[str, str]]:
    """Return selectors for repositories."""
    return _written(pattern, excluded, REPOSITORY_MATCHES, REPOSITORY_EXCLUDES)


def patterns(found: Iterable[Mapping[str, str]]) -> str:
    """Return what selectors say, for people."""
    matching = (MATCHES, REPOSITORY_MATCHES)
    said = [one["pattern"] if one["decoration"] in matching else f"not {one['pattern']}" for one in found]
    return " and ".join(said)


def _written(pattern: str, excluded: str, matches: str, excludes: str) -> list[dict[str, str]]:
    found = [] if excluded and pattern == _EVERYTHING else [{"decoration": matches, "pattern": pattern}]
    return [*found, {"decoration": excludes, "pattern": excluded}] if excluded else found
