"""Shadows: where the trash keeps things, under names that no client can ask for.

A manifest in the trash lies in the shadow of its repository, a repository row like any other; a repository in the trash
is renamed as a whole, and so is a project. Every name that clients can use sorts before "~", so that lists of names
leave the shadows out by ending there.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, literal_column

MARK: Final = "~"
_BEYOND: Final[ColumnElement[str]] = literal_column("'~'")


def listed(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Leave out shadows, by a column of names or of their sort keys."""
    return column < _BEYOND


def is_shadow(name: str) -> bool:
    """Tell whether a name is one of the trash's own."""
    return name.startswith(MARK)


def of_manifests(repository_id: int) -> str:
    """Name the shadow that holds what was deleted from a repository."""
    return f"{MARK}trash/{repository_id}"


def of_whole(row_id: int) -> str:
    """Name a repository, or a project, that was deleted as a whole and can be restored."""
    return f"{MARK}deleted/{row_id}"


def of_gone(row_id: int) -> str:
    """Name a repository, or a project, that is being taken apart: nothing brings it back any more."""
    return f"{MARK}gone/{row_id}"
