"""What deleting manifests would free: who else holds what they hold, and what goes their way.

Things in the trash hold nothing here: they go by themselves when their time is over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, exists, func, literal, or_, select, union_all

from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.contents.artifacts import named_by_tag
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader, Row
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import (
    blobs,
    manifest_blobs,
    manifest_children,
    manifest_contents,
    manifests,
    repositories,
    tags,
)
from entrepot.metadata.trash_namespaces import listed
from entrepot.oci.referrers import TAG_SUFFIXES

#: Rows that one statement is asked about.
STEP: Final = 500
#: In place of a project: holders in all of them count.
ANYWHERE: Final = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A manifest."""

    id: int
    project_id: int
    digest: str
    size: int
    queued: bool  #: something that it belonged to has gone, and a collection will look at it


@dataclass(frozen=True, slots=True)
class HeldBlob:
    """A blob that a manifest refers to."""

    id: int
    size: int
    state: str
    key: str  #: of its bytes


_M = manifests.c
_CHILD = manifest_children.c
_SUBJECT = manifests.alias("subject")
_REFERRER = manifests.alias("referrer")
_OF_TAGS = Query(
    select(tags.c.name, tags.c.id, tags.c.manifest_id).where(
        tags.c.repository_id == bindparam("repository_id"), in_list(tags.c.name, "names")
    ),
    "deletion_closure.of_tags",
)
_OF_REPOSITORY = Query(
    select(_M.id)
    .where(_M.repository_id == bindparam("repository_id"), _M.id > bindparam("last"))
    .order_by(_M.id)
    .limit(bindparam("limit")),
    "deletion_closure.of_repository",
)
_REPOSITORIES = Query(
    select(repositories.c.id, repositories.c.project_id, repositories.c.name, repositories.c.adopted)
    .where(
        repositories.c.project_id == bindparam("project_id"),
        listed(repositories.c.sort_key),
    )
    .order_by(repositories.c.sort_key)
    .limit(bindparam("limit")),
    "deletion_closure.repositories",
)
_STANDING = Query(
    select(_M.id, repositories.c.project_id, _M.digest, _M.size, _M.review_after)
    .join(repositories, repositories.c.id == _M.repository_id)
    .where(in_list(_M.id, "ids")),
    "deletion_closure.standing",
)
_TAGGED = Query(
    select(_M.id).where(
        in_list(_M.id, "ids"),
        exists(select(1).where(tags.c.manifest_id == _M.id, ~in_list(tags.c.id, "but"), ~named_by_tag())).correlate(
            manifests
        ),
    ),
    "deletion_closure.tagged",
)
_PARENTS = Query(
    select(_CHILD.child_id, _CHILD.parent_id).where(in_list(_CHILD.child_id, "ids")), "deletion_closure.parents"
)
_CHILDREN = Query(
    select(_CHILD.child_id).where(in_list(_CHILD.parent_id, "ids"), _CHILD.child_id.is_not(None)),
    "deletion_closure.children",
)
_SUBJECTS = Query(
    select(_M.id, _SUBJECT.c.id)
    .join(_SUBJECT, (_SUBJECT.c.repository_id == _M.repository_id) & (_SUBJECT.c.digest == _M.subject))
    .where(in_list(_M.id, "ids")),
    "deletion_closure.subjects",
)
_REFERRERS = Query(
    select(_REFERRER.c.id)
    .select_from(
        manifests.join(_REFERRER, (_REFERRER.c.repository_id == _M.repository_id) & (_REFERRER.c.subject == _M.digest))
    )
    .where(in_list(_M.id, "ids")),
    "deletion_closure.referrers",
)
#: What a tag of a manifest names, and the other way round: `sha256-….sig` is about something else.
_NAMED = Query(
    select(_M.id, _SUBJECT.c.id)
    .select_from(
        manifests.join(tags, tags.c.manifest_id == _M.id).join(
            _SUBJECT,
            (_SUBJECT.c.repository_id == _M.repository_id)
            & (_SUBJECT.c.digest == literal("sha256:", TEXT) + func.substr(tags.c.name, 8, 64, type_=TEXT)),
        )
    )
    .where(in_list(_M.id, "ids"), named_by_tag()),
    "deletion_closure.named",
)
_BESIDE = Query(
    select(tags.c.manifest_id)
    .select_from(
        manifests.join(
            tags,
            (tags.c.repository_id == _M.repository_id)
            & or_(
                *(
                    tags.c.name
                    == literal("sha256-", TEXT) + func.substr(_M.digest, 8, type_=TEXT) + literal(suffix, TEXT)
                    for suffix in TAG_SUFFIXES
                )
            ),
        )
    )
    .where(in_list(_M.id, "ids")),
    "deletion_closure.beside",
)
_BLOBS = Query(
    select(blobs.c.id, blobs.c.size, blobs.c.state, blobs.c.storage_key)
    .join(manifest_blobs, manifest_blobs.c.blob_id == blobs.c.id)
    .where(in_list(manifest_blobs.c.manifest_id, "ids"))
    .distinct(),
    "deletion_closure.blobs",
)
#: Each part is found by an index of its own.
_SAME_BYTES = Query(
    union_all(
        select(blobs.c.id, blobs.c.storage_key).where(
            in_list(blobs.c.digest, "keys"), blobs.c.storage_key == blobs.c.digest
        ),
        select(blobs.c.id, blobs.c.storage_key).where(
            in_list(blobs.c.storage_key, "keys"), blobs.c.storage_key != blobs.c.digest
        ),
    ),
    "deletion_closure.same_bytes",
)


def _holder(manifest_id: ColumnElement[int], chosen: Select[Any]) -> Any:
    """Say which manifest holds something: any, of those that are in no trash and not among `but`.

    Of one project, unless `within` is 0.
    """
    within: BindParameter[int] = bindparam("within", type_=WHOLE)
    fits = chosen.where(
        listed(repositories.c.name),
        ~in_list(manifest_id, "but"),
        or_(within == ANYWHERE, repositories.c.project_id == within),
    )
    return fits.limit(1).scalar_subquery()


_HOLDER_OF_BLOB = Query(
    select(
        blobs.c.id,
        _holder(
            manifest_blobs.c.manifest_id,
            select(manifest_blobs.c.manifest_id)
            .join(repositories, repositories.c.id == manifest_blobs.c.repository_id)
            .where(manifest_blobs.c.blob_id == blobs.c.id)
            .correlate(blobs),
        ),
    ).where(in_list(blobs.c.id, "ids")),
    "deletion_closure.holder_of_blob",
)
_HOLDER_OF_CONTENT = Query(
    select(
        manifest_contents.c.digest,
        _holder(
            _M.id,
            select(_M.id)
            .join(repositories, repositories.c.id == _M.repository_id)
            .where(_M.digest == manifest_contents.c.digest)
            .correlate(manifest_contents),
        ),
    ).where(in_list(manifest_contents.c.digest, "digests")),
    "deletion_closure.holder_of_content",
)


async def _in_steps(reader: Reader, query: Query, ids: Collection[int], **more: object) -> list[Row]:
    every = sorted(ids)
    return [
        row
        for start in range(0, len(every), STEP)
        for row in await reader.all(query, ids=every[start : start + STEP], **more)
    ]


async def of_tags(reader: Reader, repository_id: int, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return row id and manifest of those of `names` that are tags of a repository."""
    rows = await reader.all(_OF_TAGS, repository_id=repository_id, names=list(names)) if names else []
    return {row[0]: (row[1], row[2]) for row in rows}


async def of_repository(reader: Reader, repository_id: int, *, last: int, limit: int) -> list[int]:
    """Return up to `limit` manifests of a repository whose row ids are above `last`, in their order."""
    rows = await reader.all(_OF_REPOSITORY, repository_id=repository_id, last=last, limit=limit)
    return [row[0] for row in rows]


async def repositories_of(reader: Reader, project_id: int, *, limit: int) -> list[RepositoryRecord]:
    """Return up to `limit` repositories of a project, without those in the trash."""
    rows = await reader.all(_REPOSITORIES, project_id=project_id, limit=limit)
    return [RepositoryRecord(row[0], row[1], row[2], bool(row[3])) for row in rows]


async def standing(reader: Reader, ids: Collection[int]) -> list[Standing]:
    """Return manifests, of those that there are."""
    return [
        Standing(row_id, project, digest, size, review_after is not None)
        for row_id, project, digest, size, review_after in await _in_steps(reader, _STANDING, ids)
    ]


async def tagged(reader: Reader, ids: Collection[int], *, but: Collection[int]) -> set[int]:
    """Return those manifests that have a tag, other than tags of some row ids and those that name something there."""
    return {row[0] for row in await _in_steps(reader, _TAGGED, ids, but=sorted(but))}


async def needs(reader: Reader, ids: Collection[int]) -> dict[int, set[int]]:
    """Return for manifests what each belongs to: indexes that list it, its subject, what its tags name; if there."""
    found = await parents(reader, ids)
    for query in (_SUBJECTS, _NAMED):
        for row_id, subject in await _in_steps(reader, query, ids):
            found[row_id].add(subject)
    return found


async def parents(reader: Reader, ids: Collection[int]) -> dict[int, set[int]]:
    """Return for manifests the indexes that list each."""
    found: dict[int, set[int]] = {row_id: set() for row_id in ids}
    for row_id, parent in await _in_steps(reader, _PARENTS, ids):
        found[row_id].add(parent)
    return found


async def dependants(reader: Reader, ids: Collection[int]) -> set[int]:
    """Return what some manifests list, and what is about them, by its subject or by a tag."""
    return {row[0] for query in (_CHILDREN, _REFERRERS, _BESIDE) for row in await _in_steps(reader, query, ids)}


async def blobs_of(reader: Reader, ids: Collection[int]) -> dict[int, HeldBlob]:
    """Return the blobs that some manifests refer to, by row id."""
    return {row[0]: HeldBlob(*row) for row in await _in_steps(reader, _BLOBS, ids)}


async def holders(
    reader: Reader, blob_ids: Collection[int], *, but: Collection[int], within: int = ANYWHERE
) -> dict[int, int]:
    """Return for each blob one manifest that holds it and is not among `but`; those without are left out.

    `within` is the project whose manifests count, if not those of all.
    """
    rows = await _in_steps(reader, _HOLDER_OF_BLOB, blob_ids, but=sorted(but), within=within)
    return {row[0]: row[1] for row in rows if row[1] is not None}


async def holders_of_contents(
    reader: Reader, digests: Collection[str], *, but: Collection[int], within: int = ANYWHERE
) -> dict[str, int]:
    """Return for the bytes of each manifest one manifest of these, not among `but`; those without are left out.

    `within` is the project whose manifests count, if not those of all.
    """
    every, skipped, found = sorted(digests), sorted(but), dict[str, int]()
    for start in range(0, len(every), STEP):
        rows = await reader.all(_HOLDER_OF_CONTENT, digests=every[start : start + STEP], but=skipped, within=within)
        found.update({row[0]: row[1] for row in rows if row[1] is not None})
    return found


async def same_bytes(reader: Reader, keys: Collection[str]) -> dict[int, str]:
    """Return the blobs whose bytes have one of these keys, by row id."""
    every, found = sorted(keys), dict[int, str]()
    for start in range(0, len(every), STEP):
        rows = await reader.all(_SAME_BYTES, keys=every[start : start + STEP])
        found.update({row[0]: row[1] for row in rows})
    return found
