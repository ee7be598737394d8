"""Which artifacts a list is asked for: Harbor's `q` and `sort`, and the switches for what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import Query

from entrepot.access.faults import Invalid
from entrepot.metadata.contents.artifacts import Selection
from entrepot.metadata.filtering import Condition, Field, Kind, Match
from entrepot.metadata.filtering import Selection as ListSelection
from entrepot.metadata.tables import labels, manifest_pulls, manifests, repositories, tags
from entrepot.projects.contents.artifacts import Window
from entrepot.projects.contents.descriptions import ORDERS
from entrepot.projects.contents.kinds import TYPES
from entrepot.projects.contents.model import With

#: What `q` may ask for; the columns tell the kinds of their values.
FIELDS: Final[Mapping[str, Field]] = {
    "id": Field(column=manifests.c.id, kind=Kind.NUMBER),
    "base": Field(column=manifests.c.digest),
    "digest": Field(column=manifests.c.digest),
    "type": Field(column=manifests.c.artifact_type),
    "artifact_type": Field(column=manifests.c.artifact_type),
    "manifest_media_type": Field(column=manifests.c.media_type),
    "media_type": Field(column=manifests.c.artifact_type),
    "tags": Field(column=tags.c.name),
    "labels": Field(column=labels.c.id, kind=Kind.NUMBER),
    "push_time": Field(column=manifests.c.created_at, kind=Kind.TIME),
    "pull_time": Field(column=manifest_pulls.c.last_at, kind=Kind.TIME),
    "size": Field(column=manifests.c.size, kind=Kind.NUMBER),
    "repository_name": Field(column=repositories.c.name),
}
#: In the order of pushes: the only one that a list of any length has at hand.
_BY_PUSH: Final = ("push_time", "id")
_SORTS: Final = (*ORDERS, "size")
_TAGGED: Final[Mapping[str, bool]] = {"*": True, "nil": False}


def told(
    *,
    with_tag: Annotated[bool, Query(description="With the tags of each artifact.")] = True,
    with_label: Annotated[bool, Query(description="With the labels on each artifact.")] = False,
    with_accessory: Annotated[bool, Query(description="With what refers to each artifact: signatures, SBOMs.")] = True,
) -> With:
    """Return what is to be told of artifacts."""
    return With(tags=with_tag, labels=with_label, accessories=with_accessory)


def window(wanted: ListSelection) -> Window:
    """Return the part of the list that is wanted.

    Raises:
        Invalid: Another order is asked for than artifacts have.
    """
    for order in wanted.order:
        if order.field not in _SORTS:
            raise Invalid(f"sort: artifacts can be sorted by {', '.join(_SORTS)}, each with - before it for down")
    newest_first = wanted.order[0].descending if wanted.order else True
    orders = wanted.order if wanted.order and wanted.order[0].field not in _BY_PUSH else ()
    return Window(offset=wanted.offset, limit=wanted.limit, newest_first=newest_first, orders=orders)


def selected(wanted: ListSelection) -> Selection:
    """Return which artifacts are wanted.

    Raises:
        Invalid: Something is asked for in a way that artifacts cannot be chosen by.
    """
    found = Selection()
    for condition in wanted.conditions:
        found = replace(found, **_choice(condition))
    return found


def _choice(condition: Condition) -> dict[str, Any]:
    allowed, read = _READERS.get(condition.field, ((), _of_tags))
    if condition.match not in allowed:
        raise Invalid(f"q: artifacts cannot be chosen by {condition.field} in this way")
    return read(condition)


def _of_tags(condition: Condition) -> dict[str, Any]:
    value = str(condition.values[0])
    if condition.match is Match.CONTAINS:
        return {"tag_part": value}
    return {"tagged": _TAGGED[value]} if value in _TAGGED else {"tag": value}


def _of_base(condition: Condition) -> dict[str, Any]:
    if condition.values != ("*",):
        raise Invalid("q: base can only be *, for what indexes list as well")
    return {"parts": True}


def _types(kind: str) -> tuple[str, ...]:
    found = TYPES.get(kind.upper())
    if found is None:
        raise Invalid(f"q: artifacts can be asked for by the types {', '.join(TYPES)}; use artifact_type for others")
    return found


def _of_labels(condition: Condition) -> dict[str, Any]:
    return {"labels": condition.values}


def _of_digest(condition: Condition) -> dict[str, Any]:
    return {"digest": condition.values[0]}


def _of_kind(condition: Condition) -> dict[str, Any]:
    return {"types": tuple(type_ for value in condition.values for type_ in _types(str(value)))}


def _of_type(condition: Condition) -> dict[str, Any]:
    return {"types": condition.values}


def _of_media_type(condition: Condition) -> dict[str, Any]:
    return {"media_types": condition.values}


def _of_time(condition: Condition) -> dict[str, Any]:
    low, high = condition.values
    ends = {"since": low, "until": high}
    return {name: value for name, value in ends.items() if value is not None}


_ONE_OF: Final = (Match.EQUAL, Match.ANY)
#: By field: the ways in which it may be compared, and what a comparison asks for.
_READERS: Final[Mapping[str, tuple[tuple[Match, ...], Callable[[Condition], dict[str, Any]]]]] = {
    "tags": ((Match.EQUAL, Match.CONTAINS), _of_tags),
    "labels": ((Match.EQUAL, Match.ALL), _of_labels),
    "base": ((Match.EQUAL,), _of_base),
    "digest": ((Match.EQUAL,), _of_digest),
    "type": (_ONE_OF, _of_kind),
    "artifact_type": (_ONE_OF, _of_type),
    "media_type": (_ONE_OF, _of_type),
    "manifest_media_type": (_ONE_OF, _of_media_type),
    "push_time": ((Match.RANGE,), _of_time),
}
