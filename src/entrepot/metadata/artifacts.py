"""Which manifests of a repository a list of artifacts shows, found in steps that each cost the same.

A manifest that an index lists stands for itself only with a tag; one whose subject is in the repository never does, nor
one whose tags all name the digest of something there (`sha256-….sig`): it is an accessory of that. How many artifacts a
repository has is not written down, since every push would have to change the number; so lists and counts walk through
the repository in steps of `STEP` manifests, between which others are served.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, exists, func, literal, or_, select

from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.database import Reader
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.patient import patient
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifest_children, manifest_labels, manifests, tags
from entrepot.oci.referrers import TAG_SUFFIXES

#: Manifests looked at by one statement: some milliseconds.
STEP: Final = 5_000
_BEGINNING: Final = 0
_END: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which artifacts are wanted; without any word, all that stand for themselves."""

    parts: bool = False  #: also manifests without a tag that an index lists
    tagged: bool | None = None
    tag: str | None = None
    tag_part: str | None = None  #: text within the name of a tag, whatever its case
    labels: tuple[int, ...] = ()  #: all of them
    types: tuple[str, ...] = ()  #: one of these artifact types, or media types where a manifest has none
    media_types: tuple[str, ...] = ()  #: one of these, of the manifest itself
    digest: str | None = None
    since: int = _BEGINNING
    until: int = _END


_M = manifests.c
_SUBJECT = manifests.alias("subject")
_NAMED = manifests.alias("named")


def _text(name: str) -> BindParameter[str]:
    return bindparam(name, type_=TEXT)


def _number(name: str) -> BindParameter[int]:
    return bindparam(name, type_=WHOLE)


def _has_tag(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(1).where(tags.c.manifest_id == _M.id, *conditions)).correlate(manifests)


def _named_by_tag() -> ColumnElement[bool]:
    """Say of a tag that it is an accessory's, of something else that is in its repository."""
    name, prefix = tags.c.name, "sha256-"
    digest = literal("sha256:", TEXT) + func.substr(name, len(prefix) + 1, 64, type_=TEXT)
    rest = func.substr(name, len(prefix) + 65, type_=TEXT)
    named = select(1).where(
        _NAMED.c.repository_id == tags.c.repository_id, _NAMED.c.digest == digest, _NAMED.c.id != _M.id
    )
    return and_(
        func.substr(name, 1, len(prefix), type_=TEXT) == prefix,
        or_(*(rest == literal(suffix, TEXT) for suffix in TAG_SUFFIXES)),
        exists(named).correlate(tags, manifests),
    )


def _stands_alone() -> ColumnElement[bool]:
    listed = exists(select(1).where(manifest_children.c.child_id == _M.id)).correlate(manifests)
    has_subject = exists(
        select(1).where(_SUBJECT.c.repository_id == _M.repository_id, _SUBJECT.c.digest == _M.subject)
    ).correlate(manifests)
    return and_(
        or_(_M.subject.is_(None), ~has_subject),
        or_(~_has_tag(_named_by_tag()), _has_tag(~_named_by_tag())),
        or_(_number("parts") == 1, _has_tag(), ~listed),
    )


def _tags_fit(dialect: Dialect) -> ColumnElement[bool]:
    position: Any = func.instr if dialect.name == SQLITE.name else func.strpos
    return and_(
        or_(_number("need_tag") == 0, _has_tag()),
        or_(_number("need_none") == 0, ~_has_tag()),
        or_(_text("tag").is_(None), _has_tag(tags.c.name == _text("tag"))),
        or_(
            _text("tag_part").is_(None), _has_tag(position(func.lower(tags.c.name), func.lower(_text("tag_part"))) > 0)
        ),
    )


def _labels_fit() -> ColumnElement[bool]:
    found = (
        select(func.count())
        .select_from(manifest_labels)
        .where(manifest_labels.c.manifest_id == _M.id, in_list(manifest_labels.c.label_id, "labels"))
        .correlate(manifests)
        .scalar_subquery()
    )
    return or_(_number("label_count") == 0, found == _number("label_count"))


def _kind_fits() -> ColumnElement[bool]:
    return and_(
        or_(_number("any_type") == 1, in_list(func.coalesce(_M.artifact_type, _M.media_type, type_=TEXT), "types")),
        or_(_number("any_media_type") == 1, in_list(_M.media_type, "media_types")),
        or_(_text("digest").is_(None), _M.digest == _text("digest")),
        _M.created_at.between(_number("since"), _number("until")),
    )


def _matching(dialect: Dialect) -> Select[Any]:
    return (
        select(_M.id)
        .where(
            _M.repository_id == bindparam("repository"),
            _M.id >= bindparam("lowest"),
            _M.id <= bindparam("highest"),
            _stands_alone(),
            _tags_fit(dialect),
            _labels_fit(),
            _kind_fits(),
        )
        .order_by(_M.id)
    )


def _edge(*, newest_first: bool) -> Query:
    """Find where the next step ends: its highest id going up, its lowest going down."""
    beyond = _M.id < bindparam("beyond") if newest_first else _M.id > bindparam("beyond")
    step = (
        select(_M.id)
        .where(_M.repository_id == bindparam("repository"), beyond)
        .order_by(_M.id.desc() if newest_first else _M.id)
        .limit(bindparam("step"))
        .subquery()
    )
    edge: Any = func.min if newest_first else func.max
    return Query(select(edge(step.c.id)), f"artifacts.edge_{'down' if newest_first else 'up'}")


_MATCHING = Query(_matching, "artifacts.matching")
_EDGE_DOWN = _edge(newest_first=True)
_EDGE_UP = _edge(newest_first=False)


async def walk(
    reader: Reader, repository_id: int, wanted: Selection, *, newest_first: bool = True, step: int = STEP
) -> AsyncIterator[list[int]]:
    """Give the row ids of the wanted artifacts, in the order in which they were pushed, one list for each step."""
    reader, conditions = patient(reader), _conditions(wanted)
    beyond = _END if newest_first else _BEGINNING
    while True:
        row = await reader.one(
            _EDGE_DOWN if newest_first else _EDGE_UP, repository=repository_id, beyond=beyond, step=step
        )
        if row is None or row[0] is None:
            return
        edge = int(row[0])
        lowest, highest = (edge, beyond - 1) if newest_first else (beyond + 1, edge)
        rows = await reader.all(_MATCHING, repository=repository_id, lowest=lowest, highest=highest, **conditions)
        found = [row[0] for row in rows]
        yield found[::-1] if newest_first else found
        beyond = edge


def _conditions(wanted: Selection) -> Mapping[str, object]:
    return {
        "parts": int(wanted.parts),
        "need_tag": int(wanted.tagged is True),
        "need_none": int(wanted.tagged is False),
        "tag": wanted.tag,
        "tag_part": wanted.tag_part,
        "labels": wanted.labels,
        "label_count": len(set(wanted.labels)),
        "any_type": int(not wanted.types),
        "types": wanted.types,
        "any_media_type": int(not wanted.media_types),
        "media_types": wanted.media_types,
        "digest": wanted.digest,
        "since": wanted.since,
        "until": wanted.until,
    }
