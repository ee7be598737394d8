"""The trash: what was deleted and can be restored, until its time is over.

Each entry is one deleted thing. A manifest lies in the shadow of its repository (see `trash_namespaces`), found by its
digest; so two entries may name one manifest, and the later of their times counts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, bindparam, delete, exists, func, or_, select, update

from entrepot.config.durations import parse_duration
from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifest_children, manifests, project_metadata, tag_history, trash
from entrepot.oci.referrers import tags_beside

TAG: Final = "tag"
MANIFEST: Final = "manifest"
REPOSITORY: Final = "repository"
PROJECT: Final = "project"

#: The project's setting that says how long its trash keeps things; a duration as Go writes it.
SETTING: Final = "lifecycle.trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashEntry:
    """One deleted thing, with its names as they were then."""

    id: int
    kind: str
    project_id: int
    project: str
    repository_id: int | None  #: the repository it was deleted from, which may be gone
    repository: str | None
    place_id: int | None  #: the shadow that holds the manifest, or the deleted repository itself
    digest: str | None
    tags: tuple[str, ...]
    deletion: str  #: the same for what was deleted together
    actor: str
    deleted_at: int
    expires_at: int
    truncated: bool = False  #: there are more tags than those


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """How one deletion puts things into the trash."""

    id: str
    actor: str
    deleted_at: int
    expires_at: int


_NO_TAGS: Final = "[]"
_CHILD: Final = manifests.alias("child")
COLUMNS = (
    trash.c.id,
    trash.c.kind,
    trash.c.project_id,
    trash.c.project,
    trash.c.repository_id,
    trash.c.repository,
    trash.c.place_id,
    trash.c.digest,
    trash.c.tags,
    trash.c.deletion,
    trash.c.actor,
    trash.c.deleted_at,
    trash.c.expires_at,
)


def _select(*conditions: Any) -> Select[Any]:
    return select(*COLUMNS).where(*conditions)


_SETTING_OF = Query(
    select(project_metadata.c.value).where(
        project_metadata.c.project_id == bindparam("project_id"), project_metadata.c.key == bindparam("name")
    ),
    "trash.setting",
)
_ADD = Query(
    lambda d: (
        d.insert(trash)
        .values(
            kind=bindparam("kind"),
            project_id=bindparam("project_id"),
            project=bindparam("project"),
            repository_id=bindparam("repository_id"),
            repository=bindparam("repository"),
            place_id=bindparam("place_id"),
            digest=bindparam("digest"),
            tags=bindparam("tags"),
            deletion=bindparam("deletion"),
            actor=bindparam("actor"),
            deleted_at=bindparam("deleted_at"),
            expires_at=bindparam("expires_at"),
        )
        .returning(trash.c.id)
    ),
    "trash.add",
)
_FIND = Query(_select(trash.c.id == bindparam("id")), "trash.find")
_OF_DIGEST = Query(
    _select(trash.c.place_id == bindparam("place_id"), trash.c.digest == bindparam("digest")).order_by(
        trash.c.expires_at.desc(), trash.c.id.desc()
    ),
    "trash.of_digest",
)
_OF_DELETION = Query(_select(trash.c.deletion == bindparam("deletion")).order_by(trash.c.id), "trash.of_deletion")
_OF_PLACE = Query(
    _select(trash.c.place_id == bindparam("place_id")).order_by(trash.c.id).limit(bindparam("limit")), "trash.of_place"
)
#: What lies in a shadow with an index that lists it, and what refers to a manifest and went by the same deletion.
_LISTED_BY = Query(
    select(_CHILD.c.digest)
    .select_from(
        manifests.join(manifest_children, manifest_children.c.parent_id == manifests.c.id).join(
            _CHILD, _CHILD.c.id == manifest_children.c.child_id
        )
    )
    .where(manifests.c.repository_id == bindparam("place_id"), manifests.c.digest == bindparam("digest"))
    .order_by(manifest_children.c.position),
    "trash.listed_by",
)
#: The indexes are looked up by their ids: few list one manifest, however many lie in a shadow.
_LISTING = Query(
    _select(
        trash.c.place_id == bindparam("place_id"),
        trash.c.digest.in_(
            select(
                select(manifests.c.digest)
                .where(
                    manifests.c.id == manifest_children.c.parent_id, manifests.c.repository_id == bindparam("place_id")
                )
                .correlate(manifest_children)
                .scalar_subquery()
            ).where(manifest_children.c.digest == bindparam("digest"))
        ),
    )
    .order_by(trash.c.expires_at.desc(), trash.c.id.desc())
    .limit(1),
    "trash.listing",
)
_REFERRING_TO = Query(
    select(manifests.c.digest)
    .where(
        manifests.c.repository_id == bindparam("place_id"),
        manifests.c.subject == bindparam("digest"),
        exists(
            select(1).where(
                trash.c.place_id == manifests.c.repository_id,
                trash.c.digest == manifests.c.digest,
                trash.c.deletion == bindparam("deletion"),
            )
        ).correlate(manifests),
    )
    .order_by(manifests.c.digest),
    "trash.referring_to",
)
#: What a tag named when it was deleted; the history of the repository's tags knows, whose shadow it is.
_TAGGED_BESIDE = Query(
    select(trash.c.digest)
    .select_from(tag_history.join(trash, trash.c.digest == tag_history.c.digest))
    .where(
        tag_history.c.repository_id
        == select(trash.c.repository_id)
        .where(trash.c.place_id == bindparam("place_id"), trash.c.digest == bindparam("digest"))
        .limit(1)
        .correlate(None)
        .scalar_subquery(),
        in_list(tag_history.c.name, "names"),
        trash.c.place_id == bindparam("place_id"),
        trash.c.deletion == bindparam("deletion"),
        trash.c.digest != bindparam("digest"),
    )
    .distinct()
    .order_by(trash.c.digest),
    "trash.tagged_beside",
)
_OF_REPOSITORY = Query(
    _select(trash.c.repository_id == bindparam("repository_id"), trash.c.digest == bindparam("digest")),
    "trash.of_repository",
)
_SOME_OF_PROJECT = Query(
    _select(trash.c.project_id == bindparam("project_id")).order_by(trash.c.id).limit(bindparam("limit")),
    "trash.some_of_project",
)
_SOME_OF_REPOSITORY = Query(
    _select(
        trash.c.repository_id == bindparam("repository_id"), or_(trash.c.kind == TAG, trash.c.kind == MANIFEST)
    ).limit(bindparam("limit")),
    "trash.some_of_repository",
)
_DUE = Query(
    _select(trash.c.expires_at <= bindparam("until"))
    .order_by(trash.c.expires_at, trash.c.id)
    .limit(bindparam("limit")),
    "trash.due",
)
_COUNT_DUE = Query(
    select(func.count()).select_from(trash).where(trash.c.expires_at <= bindparam("until")), "trash.count_due"
)
_OLDEST_OF = Query(
    _select(trash.c.project_id == bindparam("project"), trash.c.id > 0).order_by(trash.c.id).limit(bindparam("limit")),
    "trash.oldest_of",
)
_REMOVE = Query(delete(trash).where(in_list(trash.c.id, "ids")), "trash.remove")
_END = Query(
    update(trash)
    .where(trash.c.id == bindparam("entry"), trash.c.expires_at > bindparam("now"))
    .values(expires_at=bindparam("now")),
    "trash.end",
)
_FORGET_UNTAGGED = Query(
    delete(trash).where(
        trash.c.place_id == bindparam("place"), trash.c.digest == bindparam("manifest"), trash.c.tags == _NO_TAGS
    ),
    "trash.forget_untagged",
)


def entry_of(row: Row, *, truncated: bool = False) -> TrashEntry:
    """Return the entry in a row of `COLUMNS`."""
    values = dict(zip((column.name for column in COLUMNS), row, strict=True))
    return TrashEntry(**{**values, "tags": tuple(json.loads(values["tags"])), "truncated": truncated})


async def seconds_of(reader: Reader, project_id: int, *, default: float) -> float:
    """Return for how many seconds a project's trash keeps things."""
    row = await reader.one(_SETTING_OF, project_id=project_id, name=SETTING)
    return default if row is None else parse_duration(row[0])


async def add(
    tx: Transaction,
    deletion: Deletion,
    *,
    kind: str,
    project_id: int,
    project: str,
    repository_id: int | None = None,
    repository: str | None = None,
    place_id: int | None = None,
    digest: str | None = None,
    tags: Sequence[str] = (),
) -> int:
    """Note that something was put into the trash; return the entry's id."""
    row = await tx.one(
        _ADD,
        kind=kind,
        project_id=project_id,
        project=project,
        repository_id=repository_id,
        repository=repository,
        place_id=place_id,
        digest=digest,
        tags=json.dumps(list(tags)),
        deletion=deletion.id,
        actor=deletion.actor,
        deleted_at=deletion.deleted_at,
        expires_at=deletion.expires_at,
    )
    assert row is not None
    return int(row[0])


async def find(reader: Reader, entry_id: int) -> TrashEntry | None:
    """Return the entry of this id, if there is one."""
    row = await reader.one(_FIND, id=entry_id)
    return None if row is None else entry_of(row)


async def of_digest(reader: Reader, place_id: int, digest: str) -> list[TrashEntry]:
    """Return the entries that name one manifest in a shadow, those that are kept longest first."""
    return [entry_of(row) for row in await reader.all(_OF_DIGEST, place_id=place_id, digest=digest)]


async def find_listing(reader: Reader, place_id: int, digest: str) -> TrashEntry | None:
    """Return the entry of an index in a shadow that lists a manifest, the one that is kept longest."""
    row = await reader.one(_LISTING, place_id=place_id, digest=digest)
    return None if row is None else entry_of(row)


async def of_deletion(reader: Reader, deletion: str) -> list[TrashEntry]:
    """Return the entries that went together, oldest first."""
    return [entry_of(row) for row in await reader.all(_OF_DELETION, deletion=deletion)]


async def of_place(reader: Reader, place_id: int, *, limit: int) -> list[TrashEntry]:
    """Return up to `limit` entries whose manifests lie in one shadow."""
    return [entry_of(row) for row in await reader.all(_OF_PLACE, place_id=place_id, limit=limit)]


async def of_repository(reader: Reader, repository_id: int, digest: str) -> list[TrashEntry]:
    """Return the entries, of tags too, that name one manifest of a repository."""
    return [entry_of(row) for row in await reader.all(_OF_REPOSITORY, repository_id=repository_id, digest=digest)]


async def some_of_project(reader: Reader, project_id: int, *, limit: int) -> list[TrashEntry]:
    """Return up to `limit` entries of what was deleted in a project, oldest first."""
    return [entry_of(row) for row in await reader.all(_SOME_OF_PROJECT, project_id=project_id, limit=limit)]


async def some_of_repository(reader: Reader, repository_id: int, *, limit: int) -> list[TrashEntry]:
    """Return up to `limit` entries of tags and manifests that were deleted from a repository."""
    rows = await reader.all(_SOME_OF_REPOSITORY, repository_id=repository_id, limit=limit)
    return [entry_of(row) for row in rows]


async def listed_by(reader: Reader, place_id: int, digest: str) -> list[str]:
    """Return the digests of what an index in a shadow lists, as far as it lies there too."""
    return [row[0] for row in await reader.all(_LISTED_BY, place_id=place_id, digest=digest)]


async def referring_to(reader: Reader, place_id: int, digest: str, deletion: str) -> list[str]:
    """Return the digests of manifests in a shadow that refer to one, and went by the same deletion."""
    return [row[0] for row in await reader.all(_REFERRING_TO, place_id=place_id, digest=digest, deletion=deletion)]


async def accessories(reader: Reader, place_id: int, digest: str, deletion: str) -> list[str]:
    """Return the digests of what is about a manifest, by its subject or its tag, and went by the same deletion."""
    names = tags_beside(digest)
    rows = await reader.all(_TAGGED_BESIDE, place_id=place_id, digest=digest, deletion=deletion, names=names)
    return [*(row[0] for row in rows), *await referring_to(reader, place_id, digest, deletion)]


async def due(reader: Reader, *, until: int, limit: int) -> list[TrashEntry]:
    """Return up to `limit` entries whose time is over at a moment, the earliest first."""
    return [entry_of(row) for row in await reader.all(_DUE, until=until, limit=limit)]


async def count_due(reader: Reader, *, until: int) -> int:
    """Count what is past its time then. Reads an index of all of it."""
    row = await reader.one(_COUNT_DUE, until=until)
    return 0 if row is None else int(row[0])


async def oldest_of(reader: Reader, project_id: int, *, limit: int) -> list[TrashEntry]:
    """Return up to `limit` entries of a project, those that were deleted first."""
    return [entry_of(row) for row in await reader.all(_OLDEST_OF, project=project_id, limit=limit)]


async def remove(tx: Transaction, ids: Collection[int]) -> int:
    """Remove entries, and nothing of what they name; return how many there were."""
    return await tx.execute(_REMOVE, ids=sorted(ids)) if ids else 0


async def end(tx: Transaction, entry_id: int) -> None:
    """Let the time of an entry be over now: whoever empties the trash next goes on with it."""
    await tx.execute(_END, entry=entry_id, now=clock.now())


async def forget_untagged(tx: Transaction, place_id: int, digest: str) -> None:
    """Remove the entries of a manifest that is not in a shadow any more, but for those that name tags, too."""
    await tx.execute(_FORGET_UNTAGGED, place=place_id, manifest=digest)
