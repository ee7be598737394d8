"""Which manifests of a repository a list of artifacts shows, found in steps that each cost the same.

A manifest that an index lists stands for itself only with a tag; one whose subject is in the repository never does, nor
one whose tags all name the digest of something there (`sha256-….sig`): it is an accessory of that. Triggers keep a row
for each that does (see `migrations.kept_sums`), so that a page costs what it shows. Where rows are still missing, since
a program of version 4 filled the database, and where parts of indexes are asked for, all manifests are looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, exists, func, literal, or_, select

from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.contents import kept_sums
from entrepot.metadata.database import Reader
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import artifacts, manifest_children, manifest_labels, manifests, tags
from entrepot.oci.referrers import TAG_SUFFIXES

#: Manifests looked at by one statement: some milliseconds. The first steps are smaller, for who asks for one page.
STEP: Final = 5_000
_FIRST_STEP: Final = 200
_GROWTH: Final = 4
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


def named_by_tag() -> ColumnElement[bool]:
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
        or_(~_has_tag(named_by_tag()), _has_tag(~named_by_tag())),
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


def _fits(dialect: Dialect) -> ColumnElement[bool]:
    return and_(
        _M.repository_id == bindparam("repository"),
        _M.id >= bindparam("lowest"),
        _M.id <= bindparam("highest"),
        _tags_fit(dialect),
        _labels_fit(),
        _kind_fits(),
    )


def _matching(dialect: Dialect) -> Select[Any]:
    return select(_M.id).where(_fits(dialect), _stands_alone()).order_by(_M.id)


def _matching_kept(dialect: Dialect) -> Select[Any]:
    kept = artifacts.join(manifests, _M.id == artifacts.c.manifest_id)
    own = (
        artifacts.c.repository_id == bindparam("repository"),
        artifacts.c.manifest_id.between(bindparam("lowest"), bindparam("highest")),
    )
    return select(_M.id).select_from(kept).where(*own, _fits(dialect)).order_by(artifacts.c.manifest_id)


def _following(repository: ColumnElement[int], row_id: ColumnElement[int], *, newest_first: bool) -> Select[Any]:
    """Build the ids of the next step."""
    beyond = row_id < bindparam("beyond") if newest_first else row_id > bindparam("beyond")
    found = select(row_id.label("id")).where(repository == bindparam("repository"), beyond)
    return found.order_by(row_id.desc() if newest_first else row_id).limit(bindparam("step"))


def _edge(repository: ColumnElement[int], row_id: ColumnElement[int], name: str, *, newest_first: bool) -> Query:
    """Find where the next step ends: its highest id going up, its lowest going down."""
    step = _following(repository, row_id, newest_first=newest_first).subquery()
    edge: Any = func.min if newest_first else func.max
    return Query(select(edge(step.c.id)), f"artifacts.{name}_{'down' if newest_first else 'up'}")


_OF_ALL = (_M.repository_id, _M.id)
_OF_KEPT = (artifacts.c.repository_id, artifacts.c.manifest_id)
_MATCHING = Query(_matching, "artifacts.matching")
_MATCHING_KEPT = Query(_matching_kept, "artifacts.matching_kept")
_EDGE_DOWN = _edge(*_OF_ALL, "edge", newest_first=True)
_EDGE_UP = _edge(*_OF_ALL, "edge", newest_first=False)
_KEPT_DOWN = _edge(*_OF_KEPT, "kept", newest_first=True)
_KEPT_UP = _edge(*_OF_KEPT, "kept", newest_first=False)
_PAGE_DOWN = Query(_following(*_OF_KEPT, newest_first=True).offset(bindparam("offset")), "artifacts.page_down")
_PAGE_UP = Query(_following(*_OF_KEPT, newest_first=False).offset(bindparam("offset")), "artifacts.page_up")
_BY_TAG = Query(
    select(tags.c.manifest_id).where(tags.c.repository_id == bindparam("repository"), tags.c.name == bindparam("name")),
    "artifacts.by_tag",
)
_BY_DIGEST = Query(
    select(_M.id).where(_M.repository_id == bindparam("repository"), _M.digest == bindparam("digest")),
    "artifacts.by_digest",
)


async def page(
    reader: Reader, repository_id: int, *, newest_first: bool = True, offset: int = 0, limit: int
) -> list[int] | None:
    """Return the row ids of a page of all artifacts; None while they are not all written down."""
    if not await kept_sums.complete(reader, kept_sums.ARTIFACTS):
        return None
    query, beyond = (_PAGE_DOWN, _END) if newest_first else (_PAGE_UP, _BEGINNING)
    rows = await patient(reader).all(query, repository=repository_id, beyond=beyond, step=limit, offset=offset)
    return [row[0] for row in rows]


async def walk(
    reader: Reader, repository_id: int, wanted: Selection, *, newest_first: bool = True, step: int = STEP
) -> AsyncIterator[list[int]]:
    """Give the row ids of the wanted artifacts, in the order in which they were pushed, one list for each step."""
    kept = not wanted.parts and await kept_sums.complete(reader, kept_sums.ARTIFACTS)
    matching = _MATCHING_KEPT if kept else _MATCHING
    reader, conditions = patient(reader), _conditions(wanted, kept=kept)
    if wanted.tag is not None or wanted.digest is not None:
        for row_id in await _named(reader, repository_id, wanted):
            rows = await reader.all(matching, repository=repository_id, lowest=row_id, highest=row_id, **conditions)
            yield [row[0] for row in rows]
        return
    ways = (_KEPT_UP, _KEPT_DOWN) if kept else (_EDGE_UP, _EDGE_DOWN)
    beyond, size = (_END if newest_first else _BEGINNING), min(step, _FIRST_STEP)
    while True:
        row = await reader.one(ways[newest_first], repository=repository_id, beyond=beyond, step=size)
        if row is None or row[0] is None:
            return
        edge = int(row[0])
        lowest, highest = (edge, beyond - 1) if newest_first else (beyond + 1, edge)
        rows = await reader.all(matching, repository=repository_id, lowest=lowest, highest=highest, **conditions)
        found = [row[0] for row in rows]
        yield found[::-1] if newest_first else found
        beyond, size = edge, min(step, size * _GROWTH)


async def _named(reader: Reader, repository_id: int, wanted: Selection) -> list[int]:
    """Find the one manifest that a tag or a digest names."""
    if wanted.tag is not None:
        rows = await reader.all(_BY_TAG, repository=repository_id, name=wanted.tag)
    else:
        rows = await reader.all(_BY_DIGEST, repository=repository_id, digest=wanted.digest)
    return [row[0] for row in rows]


def _conditions(wanted: Selection, *, kept: bool) -> Mapping[str, object]:
    return {
        **({} if kept else {"parts": int(wanted.parts)}),
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
