"""What retention looks at, page by page: tags, and manifests that have none and stand for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, exists, func, select

from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifest_children, manifest_pulls, manifests, repositories, tags
from entrepot.metadata.trash_namespaces import listed


@dataclass(frozen=True, slots=True)
class Standing:
    """A manifest that is to be removed, as it is at that moment."""

    repository_id: int
    subject: str | None
    pushed_at: int


_M, _T, _P, _R = manifests.c, tags.c, manifest_pulls.c, repositories.c
_SUBJECT = manifests.alias("subject")
_LISTED: ColumnElement[bool] = exists(select(1).where(manifest_children.c.child_id == _M.id)).correlate(manifests)
_SUBJECT_ID: Any = (
    select(_SUBJECT.c.id)
    .where(_SUBJECT.c.repository_id == _M.repository_id, _SUBJECT.c.digest == _M.subject)
    .correlate(manifests)
    .scalar_subquery()
)
_PULLED_AT: Any = select(_P.last_at).where(_P.manifest_id == _M.id).correlate(manifests).scalar_subquery()
_TAGS: Final = Query(
    select(_T.name, _T.updated_at, _M.id, _M.digest, _M.media_type, _PULLED_AT, _LISTED, _SUBJECT_ID)
    .select_from(tags)
    .join(manifests, _M.id == _T.manifest_id)
    .where(_T.repository_id == bindparam("repository"), _T.name > bindparam("last"))
    .order_by(_T.name)
    .limit(bindparam("limit")),
    "retention_candidates.tags",
)
_WINDOW = (
    select(_M.id)
    .where(_M.repository_id == bindparam("repository"), _M.id > bindparam("last"))
    .order_by(_M.id)
    .limit(bindparam("limit"))
    .subquery()
)
_WINDOW_END: Final = Query(select(func.max(_WINDOW.c.id)), "retention_candidates.window_end")
_UNTAGGED: Final = Query(
    select(_M.id, _M.created_at, _M.digest, _M.media_type, _PULLED_AT)
    .where(
        _M.repository_id == bindparam("repository"),
        _M.id > bindparam("last"),
        _M.id <= bindparam("end"),
        ~exists(select(1).where(_T.manifest_id == _M.id)).correlate(manifests),
        ~_LISTED,
        ~exists(
            select(1).where(_SUBJECT.c.repository_id == _M.repository_id, _SUBJECT.c.digest == _M.subject)
        ).correlate(manifests),
    )
    .order_by(_M.id),
    "retention_candidates.untagged",
)
_BELOW = select(_M.id.label("root"), _M.id.label("member")).where(in_list(_M.id, "ids")).cte("below", recursive=True)
_BELOW = _BELOW.union(
    select(_BELOW.c.root, manifest_children.c.child_id)
    .join(manifest_children, manifest_children.c.parent_id == _BELOW.c.member)
    .where(manifest_children.c.child_id.is_not(None))
)
_PULLED: Any = select(_P.last_at).where(_P.manifest_id == _BELOW.c.member).correlate(_BELOW).scalar_subquery()
_PULLED_BELOW: Final = Query(
    select(_BELOW.c.root, func.max(_PULLED)).group_by(_BELOW.c.root), "retention_candidates.pulled_below"
)
_NAMED: Final = Query(
    select(_M.digest, _M.id).where(_M.repository_id == bindparam("repository"), in_list(_M.digest, "digests")),
    "retention_candidates.named",
)
_SUBJECTS: Final = Query(
    select(_SUBJECT_ID).select_from(manifests).where(in_list(_M.id, "ids"), _M.subject.is_not(None)),
    "retention_candidates.subjects",
)
_REPOSITORIES: Final = Query(
    select(_R.id, _R.project_id, _R.name, _R.adopted, _R.sort_key)
    .where(_R.project_id == bindparam("project"), _R.sort_key > bindparam("last"), listed(_R.sort_key))
    .order_by(_R.sort_key)
    .limit(bindparam("limit")),
    "retention_candidates.repositories",
)
_LOCKED: Final = Query(
    select(_M.repository_id, _M.subject, _M.created_at).where(_M.id == bindparam("manifest")).with_for_update(),
    "retention_candidates.locked",
)
_TAGS_OF = select(_T.name, _T.updated_at).where(_T.manifest_id == bindparam("manifest"))
_PUSHED: Final = Query(_TAGS_OF, "retention_candidates.pushed")
_TAGS_NOW: Final = Query(_TAGS_OF.limit(bindparam("limit")).with_for_update(), "retention_candidates.tags_now")
_TAGS_NAMED: Final = Query(
    _TAGS_OF.where(in_list(_T.name, "names")).with_for_update(), "retention_candidates.tags_named"
)


async def repositories_after(
    reader: Reader, project_id: int, last: str, *, limit: int
) -> list[tuple[RepositoryRecord, str]]:
    """Return repositories of a project, each with the key to go on after."""
    rows = await reader.all(_REPOSITORIES, project=project_id, last=last, limit=limit)
    return [(RepositoryRecord(row[0], row[1], row[2], bool(row[3])), row[4]) for row in rows]


async def tags_after(reader: Reader, repository_id: int, last: str, *, limit: int) -> list[Row]:
    """Return tags in bytewise order after one.

    Each row has the tag, when it was last pushed; id, digest and media type of its manifest, when that was pulled,
    whether an index lists it; and the row id of the manifest that it refers to, if that is there.
    """
    return await reader.all(_TAGS, repository=repository_id, last=last, limit=limit)


async def untagged_after(reader: Reader, repository_id: int, last: int, *, limit: int) -> tuple[list[Row], int | None]:
    """Look at some manifests and return those that nothing holds: no tag, no index, no subject that is there.

    Each row has id, time of the push, digest, media type, and when it was pulled. Beside them, the id to go on after;
    None at the end.
    """
    row = await reader.one(_WINDOW_END, repository=repository_id, last=last, limit=limit)
    end = None if row is None else row[0]
    if end is None:
        return [], None
    return await reader.all(_UNTAGGED, repository=repository_id, last=last, end=end), end


async def pulled_below(reader: Reader, ids: Sequence[int]) -> dict[int, int]:
    """Return when manifests, or anything that they list, were last pulled; those that never were are left out."""
    if not ids:
        return {}
    rows = await reader.all(_PULLED_BELOW, ids=list(ids))
    return {row[0]: row[1] for row in rows if row[1] is not None}


async def subjects_of(reader: Reader, ids: Sequence[int]) -> set[int]:
    """Return the row ids of what manifests refer to, of that which is there."""
    rows = await reader.all(_SUBJECTS, ids=list(ids)) if ids else []
    return {row[0] for row in rows if row[0] is not None}


async def named(reader: Reader, repository_id: int, digests: Sequence[str]) -> dict[str, int]:
    """Return the row ids of those manifests of a repository that are there, by their digests."""
    if not digests:
        return {}
    return {row[0]: row[1] for row in await reader.all(_NAMED, repository=repository_id, digests=list(digests))}


async def pushed(reader: Reader, manifest_id: int) -> dict[str, int]:
    """Return the tags of a manifest and when each was pushed."""
    return {row[0]: row[1] for row in await reader.all(_PUSHED, manifest=manifest_id)}


async def locked(tx: Transaction, manifest_id: int) -> Standing | None:
    """Return how a manifest stands now, locked until the transaction ends."""
    row = await tx.one(_LOCKED, manifest=manifest_id)
    return None if row is None else Standing(*row)


async def tags_now(tx: Transaction, manifest_id: int, *, limit: int) -> dict[str, int]:
    """Return up to `limit` tags of a manifest and when each was pushed, locked until the transaction ends."""
    return {row[0]: row[1] for row in await tx.all(_TAGS_NOW, manifest=manifest_id, limit=limit)}


async def tags_named(tx: Transaction, manifest_id: int, names: Sequence[str]) -> dict[str, int]:
    """Return those of `names` that are tags of a manifest and when each was pushed, locked likewise."""
    return {row[0]: row[1] for row in await tx.all(_TAGS_NAMED, manifest=manifest_id, names=list(names))}
