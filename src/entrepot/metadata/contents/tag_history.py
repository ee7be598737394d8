"""Where a tag pointed and when, as a list that people page through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, select

from entrepot.metadata.database import Reader
from entrepot.metadata.filtering import Field, Kind, Listed, Listing, Order, Selection
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifests, tag_history


@dataclass(frozen=True, slots=True)
class TagMove:
    """One move of a tag: what it named from then on, or until then."""

    id: int
    digest: str
    action: str  #: one of `metadata.contents.tags`: set, deleted, restored, aside
    actor: str
    at: int


_H = tag_history.c
_BASE = select(_H.id, _H.digest, _H.action, _H.actor, _H.at).where(
    _H.repository_id == bindparam("repository"), _H.name == bindparam("tag")
)
FIELDS: Final = {
    "id": Field(_H.id, Kind.NUMBER),
    "digest": Field(_H.digest),
    "action": Field(_H.action),
    "actor": Field(_H.actor),
    "time": Field(_H.at, Kind.TIME),
}
LIST: Final = Listing("tag_moves", _BASE, FIELDS, order=(Order("id", descending=True),), key=_H.id)
_AT: Final = Query(
    _BASE.where(_H.at <= bindparam("moment"), _H.action != bindparam("but")).order_by(_H.id.desc()).limit(1),
    "tag_history.at",
)
_HELD: Final = Query(
    select(manifests.c.digest).where(
        manifests.c.repository_id == bindparam("repository"), in_list(manifests.c.digest, "digests")
    ),
    "tag_history.held",
)


async def page(reader: Reader, repository_id: int, tag: str, selection: Selection) -> Listed[TagMove]:
    """Return a page of the moves of a tag, the latest first."""
    return (await LIST.read(reader, selection, repository=repository_id, tag=tag)).map(lambda row: TagMove(*row))


async def latest(reader: Reader, repository_id: int, tag: str, *, until: int, but: str) -> TagMove | None:
    """Return the last move of a tag up to a moment, leaving out those of one kind."""
    row = await reader.one(_AT, repository=repository_id, tag=tag, moment=until, but=but)
    return None if row is None else TagMove(*row)


async def held(reader: Reader, repository_id: int, digests: list[str]) -> set[str]:
    """Return those of these digests that are manifests of a repository."""
    return {row[0] for row in await reader.all(_HELD, repository=repository_id, digests=digests)} if digests else set()
