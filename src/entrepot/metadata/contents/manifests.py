"""Manifests: exact bytes by digest, and per repository their type, references, children and subject."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, exists, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import ABOVE_ALL, Query, in_list
from entrepot.metadata.tables import (
    manifest_blobs,
    manifest_children,
    manifest_contents,
    manifests,
    repositories,
    tags,
)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A manifest of a repository, without its bytes."""

    id: int
    repository_id: int
    digest: str
    media_type: str
    size: int
    #: Set while it waits for a collection to look at it: what lists it, or what it refers to, has gone.
    review_after: int | None = None


_M = manifests.c
_COLUMNS = (_M.id, _M.repository_id, _M.digest, _M.media_type, _M.size, _M.review_after)
_BY_TAG = Query(
    select(*_COLUMNS)
    .select_from(repositories)
    .join(tags, tags.c.repository_id == repositories.c.id)
    .join(manifests, _M.id == tags.c.manifest_id)
    .where(repositories.c.name == bindparam("repository"), tags.c.name == bindparam("tag")),
    "manifests.by_tag",
    recalled=True,
)
_BY_DIGEST = Query(
    select(*_COLUMNS)
    .select_from(repositories)
    .join(manifests, _M.repository_id == repositories.c.id)
    .where(repositories.c.name == bindparam("repository"), _M.digest == bindparam("digest")),
    "manifests.by_digest",
    recalled=True,
)
_LOCKED = Query(
    select(*_COLUMNS)
    .where(_M.repository_id == bindparam("repository_id"), _M.digest == bindparam("digest"))
    .with_for_update(),
    "manifests.locked",
)
#: One statement both looks for the manifest and notes its push, so that a push costs no more than a look.
_PUSH_AGAIN = Query(
    update(manifests)
    .where(_M.repository_id == bindparam("in_repository"), _M.digest == bindparam("known"))
    .values(created_at=bindparam("now"), review_after=None)
    .returning(*_COLUMNS),
    "manifests.push_again",
)
_LOCKED_WITH_SUBJECT = Query(
    select(*_COLUMNS, _M.subject).where(_M.id == bindparam("manifest_id")).with_for_update(),
    "manifests.locked_with_subject",
)
_CONTENT = Query(
    select(manifest_contents.c.content).where(manifest_contents.c.digest == bindparam("digest")), "manifests.content"
)
_KNOWN_IN = Query(
    select(_M.digest).where(_M.repository_id == bindparam("repository_id"), in_list(_M.digest, "digests")),
    "manifests.known_in",
)
_CONTENTS_AFTER = Query(
    select(
        manifest_contents.c.digest,
        exists(select(1).where(_M.digest == manifest_contents.c.digest)).correlate(manifest_contents),
    )
    .where(manifest_contents.c.digest > bindparam("last"))
    .order_by(manifest_contents.c.digest)
    .limit(bindparam("limit")),
    "manifests.contents_after",
)
_NEWEST = Query(
    select(_M.id, _M.digest, _M.created_at)
    .where(_M.id < bindparam("before"))
    .order_by(_M.id.desc())
    .limit(bindparam("limit")),
    "manifests.newest",
)
_KNOWN_CONTENTS = Query(
    select(manifest_contents.c.digest).where(in_list(manifest_contents.c.digest, "digests")), "manifests.known_contents"
)
_PRESENT = Query(
    select(_M.digest, _M.id)
    .where(_M.repository_id == bindparam("repository_id"), in_list(_M.digest, "digests"))
    .with_for_update(),
    "manifests.present",
)
_ADD = Query(
    lambda d: (
        d.insert(manifests)
        .values(
            repository_id=bindparam("repository_id"),
            digest=bindparam("digest"),
            media_type=bindparam("media_type"),
            artifact_type=bindparam("artifact_type"),
            size=bindparam("size"),
            subject=bindparam("subject"),
            annotations=bindparam("annotations"),
            created_at=bindparam("created_at"),
        )
        .on_conflict_do_nothing()
        .returning(_M.id)
    ),
    "manifests.add",
)
_ADD_CONTENT = Query(
    lambda d: (
        d.insert(manifest_contents)
        .values(digest=bindparam("digest"), content=bindparam("content"))
        .on_conflict_do_nothing()
    ),
    "manifests.add_content",
)
#: Bytes that are there and are others have been damaged since they were stored.
_MEND_CONTENT = Query(
    update(manifest_contents)
    .where(manifest_contents.c.digest == bindparam("of"), manifest_contents.c.content != bindparam("right"))
    .values(content=bindparam("right")),
    "manifests.mend_content",
)
#: Nobody removes the bytes before the transaction ends, so that a manifest may refer to them.
_KEEP_CONTENT = Query(
    select(manifest_contents.c.content)
    .where(manifest_contents.c.digest == bindparam("digest"))
    .with_for_update(read=True, key_share=True),
    "manifests.keep_content",
)
_LOCK_CONTENT = Query(
    select(manifest_contents.c.digest).where(manifest_contents.c.digest == bindparam("digest")).with_for_update(),
    "manifests.lock_content",
)
_ADD_BLOB = Query(
    lambda d: d.insert(manifest_blobs).values(
        manifest_id=bindparam("manifest_id"),
        position=bindparam("position"),
        blob_id=bindparam("blob_id"),
        role=bindparam("role"),
        repository_id=select(_M.repository_id).where(_M.id == bindparam("manifest_id")).scalar_subquery(),
    ),
    "manifests.add_blob",
)
_ADD_CHILD = Query(
    lambda d: d.insert(manifest_children).values(
        parent_id=bindparam("parent_id"),
        position=bindparam("position"),
        digest=bindparam("digest"),
        child_id=bindparam("child_id"),
    ),
    "manifests.add_child",
)
#: The parent is looked up by its id: a list of all the repository's manifests would make each push cost as much as
#: the repository is large.
_CONNECT_PARENTS = Query(
    update(manifest_children)
    .where(
        manifest_children.c.digest == bindparam("child_digest"),
        manifest_children.c.child_id.is_(None),
        exists(
            select(1).where(_M.id == manifest_children.c.parent_id, _M.repository_id == bindparam("repository"))
        ).correlate(manifest_children),
    )
    .values(child_id=bindparam("child")),
    "manifests.connect_parents",
)
_PARENTS = Query(
    select(func.count()).select_from(manifest_children).where(manifest_children.c.child_id == bindparam("manifest_id")),
    "manifests.parents",
)
_BLOB_IDS = Query(
    select(manifest_blobs.c.blob_id).where(manifest_blobs.c.manifest_id == bindparam("manifest_id")).distinct(),
    "manifests.blob_ids",
)
_CHILD_IDS = Query(
    select(manifest_children.c.child_id)
    .where(manifest_children.c.parent_id == bindparam("manifest_id"), manifest_children.c.child_id.is_not(None))
    .distinct(),
    "manifests.child_ids",
)
_MISSING_CHILDREN = Query(
    select(manifest_children.c.digest)
    .where(manifest_children.c.parent_id == bindparam("manifest_id"), manifest_children.c.child_id.is_(None))
    .distinct(),
    "manifests.missing_children",
)
_REFERRER_IDS = Query(
    select(_M.id).where(_M.repository_id == bindparam("repository_id"), _M.subject == bindparam("digest")),
    "manifests.referrer_ids",
)
#: By a tag that names its digest, then by the subject: an index of referrers comes before what it lists.
_TAGGED_BESIDE = Query(
    select(tags.c.manifest_id)
    .where(tags.c.repository_id == bindparam("repository_id"), in_list(tags.c.name, "names"))
    .distinct(),
    "manifests.tagged_beside",
)
_SOME_REFERRER_IDS = Query(
    select(_M.id)
    .where(_M.repository_id == bindparam("repository_id"), _M.subject == bindparam("digest"))
    .order_by(_M.digest)
    .limit(bindparam("limit")),
    "manifests.some_referrer_ids",
)
_DROP_BLOBS = Query(
    delete(manifest_blobs).where(manifest_blobs.c.manifest_id == bindparam("manifest_id")), "manifests.drop_blobs"
)
_DROP_CHILDREN = Query(
    delete(manifest_children).where(manifest_children.c.parent_id == bindparam("manifest_id")),
    "manifests.drop_children",
)
_QUEUE = Query(
    update(manifests).where(in_list(_M.id, "ids")).values(review_after=bindparam("after")), "manifests.queue"
)
_KEEP = Query(
    update(manifests).where(in_list(_M.id, "ids"), _M.review_after.is_not(None)).values(review_after=None),
    "manifests.keep",
)
_RENEW = Query(
    update(manifests)
    .where(_M.id == bindparam("manifest_id"), _M.review_after.is_not(None))
    .values(review_after=bindparam("after")),
    "manifests.renew",
)
_REMOVE = Query(delete(manifests).where(_M.id == bindparam("manifest_id")), "manifests.remove")
_REMOVE_CONTENT = Query(
    delete(manifest_contents).where(
        manifest_contents.c.digest == bindparam("digest"),
        ~select(1).where(_M.digest == manifest_contents.c.digest).exists(),
    ),
    "manifests.remove_content",
)


def _record(row: Row | None) -> ManifestRow | None:
    return None if row is None else ManifestRow(*row)


async def by_tag(reader: Reader, repository: str, tag: str) -> ManifestRow | None:
    """Return the manifest a tag points at, in the repository of this exact name."""
    return _record(await reader.one(_BY_TAG, repository=repository, tag=tag))


async def by_digest(reader: Reader, repository: str, digest: str) -> ManifestRow | None:
    """Return a manifest of the repository of this exact name."""
    return _record(await reader.one(_BY_DIGEST, repository=repository, digest=digest))


async def locked(tx: Transaction, repository_id: int, digest: str) -> ManifestRow | None:
    """Return a manifest of a repository, locked until the transaction ends."""
    return _record(await tx.one(_LOCKED, repository_id=repository_id, digest=digest))


async def push_again(tx: Transaction, repository_id: int, digest: str) -> ManifestRow | None:
    """Note that a manifest which a repository has was pushed now, and return it, locked until the transaction ends.

    It stands for itself again: no collection takes it for what it once belonged to.
    """
    return _record(await tx.one(_PUSH_AGAIN, in_repository=repository_id, known=digest, now=clock.now()))


async def locked_with_subject(tx: Transaction, manifest_id: int) -> tuple[ManifestRow, str | None] | None:
    """Return a manifest by its row id, locked until the transaction ends, and the digest of its subject."""
    row = await tx.one(_LOCKED_WITH_SUBJECT, manifest_id=manifest_id)
    return None if row is None else (ManifestRow(*row[:-1]), row[-1])


async def content(reader: Reader, digest: str) -> bytes | None:
    """Return the exact bytes of a manifest."""
    row = await reader.one(_CONTENT, digest=digest)
    return None if row is None else bytes(row[0])


async def mend_content(tx: Transaction, digest: str, raw: bytes) -> bool:
    """Put the exact bytes of a manifest in place of damaged ones; False when they were right."""
    return await tx.execute(_MEND_CONTENT, of=digest, right=raw) == 1


async def known_contents(reader: Reader, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that are manifests of any repository."""
    return {row[0] for row in await reader.all(_KNOWN_CONTENTS, digests=list(digests))}


async def newest(reader: Reader, *, limit: int, before: int = ABOVE_ALL) -> list[tuple[int, str, int]]:
    """Return the row ids, digests and times of up to `limit` manifests, the newest first, those before a row id."""
    rows = await reader.all(_NEWEST, before=before, limit=limit)
    return [(row[0], row[1], row[2]) for row in rows]


async def known_in(reader: Reader, repository_id: int, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that are manifests of a repository."""
    rows = await reader.all(_KNOWN_IN, repository_id=repository_id, digests=list(digests)) if digests else []
    return {row[0] for row in rows}


async def contents_after(reader: Reader, last: str, *, limit: int) -> dict[str, bool]:
    """Return the next digests of manifests' bytes in their order, and whether a repository has a manifest of each."""
    rows = await reader.all(_CONTENTS_AFTER, last=last, limit=limit)
    return {row[0]: bool(row[1]) for row in rows}


async def present(tx: Reader, repository_id: int, digests: Sequence[str]) -> dict[str, int]:
    """Return the row ids of those of `digests` that are manifests of a repository."""
    if not digests:
        return {}
    rows = await tx.all(_PRESENT, repository_id=repository_id, digests=list(digests))
    return {row[0]: row[1] for row in rows}


async def add(
    tx: Transaction,
    repository_id: int,
    *,
    digest: str,
    media_type: str,
    artifact_type: str | None,
    raw: bytes,
    subject: str | None,
    annotations: Mapping[str, str],
) -> int | None:
    """Add a manifest with its bytes; return its row id, or None when the repository has it already."""
    await _add_content(tx, digest, raw)
    row = await tx.one(
        _ADD,
        repository_id=repository_id,
        digest=digest,
        media_type=media_type,
        artifact_type=artifact_type,
        size=len(raw),
        subject=subject,
        annotations=json.dumps(dict(annotations)) if annotations else None,
        created_at=clock.now(),
    )
    return None if row is None else int(row[0])


async def _add_content(tx: Transaction, digest: str, raw: bytes) -> None:
    """Add a manifest's bytes; those that are there stay, unless somebody is just removing the last manifest of them."""
    while not await tx.execute(_ADD_CONTENT, digest=digest, content=raw):
        kept = await tx.one(_KEEP_CONTENT, digest=digest)
        if kept is not None:
            if bytes(kept[0]) != raw:
                await mend_content(tx, digest, raw)
            return


async def refer(
    tx: Transaction,
    manifest_id: int,
    *,
    blobs: Sequence[tuple[int, str]],
    children: Sequence[tuple[str, int | None]],
) -> None:
    """Record what a manifest refers to: blobs as (row id, role), manifests as (digest, row id or None if missing)."""
    if blobs:
        await tx.many(
            _ADD_BLOB,
            [
                {"manifest_id": manifest_id, "position": position, "blob_id": blob_id, "role": role}
                for position, (blob_id, role) in enumerate(blobs)
            ],
        )
    if children:
        await tx.many(
            _ADD_CHILD,
            [
                {"parent_id": manifest_id, "position": position, "digest": digest, "child_id": child_id}
                for position, (digest, child_id) in enumerate(children)
            ],
        )


async def connect_parents(tx: Transaction, repository_id: int, digest: str, manifest_id: int) -> None:
    """Join a manifest to the indexes of its repository that were pushed before it."""
    await tx.execute(_CONNECT_PARENTS, repository=repository_id, child_digest=digest, child=manifest_id)


async def parents(reader: Reader, manifest_id: int) -> int:
    """Count the indexes that list a manifest."""
    row = await reader.one(_PARENTS, manifest_id=manifest_id)
    return 0 if row is None else int(row[0])


async def blob_ids(reader: Reader, manifest_id: int) -> list[int]:
    """Return the row ids of the blobs a manifest refers to, each once."""
    return [row[0] for row in await reader.all(_BLOB_IDS, manifest_id=manifest_id)]


async def dependants(reader: Reader, manifest: ManifestRow) -> list[int]:
    """Return the row ids of a manifest's children and referrers."""
    children = await reader.all(_CHILD_IDS, manifest_id=manifest.id)
    referrers = await reader.all(_REFERRER_IDS, repository_id=manifest.repository_id, digest=manifest.digest)
    return [row[0] for row in (*children, *referrers)]


async def accessories(
    reader: Reader, repository_id: int, digest: str, tag_names: Sequence[str], *, limit: int
) -> list[int]:
    """Return the row ids of what has one of these tags, then of up to `limit` manifests whose subject is this one."""
    tagged = await reader.all(_TAGGED_BESIDE, repository_id=repository_id, names=list(tag_names))
    referring = await reader.all(_SOME_REFERRER_IDS, repository_id=repository_id, digest=digest, limit=limit)
    return list(dict.fromkeys(row[0] for row in (*tagged, *referring)))


async def queue(tx: Transaction, ids: Sequence[int], *, review_after: int) -> None:
    """Note when manifests may be looked at: what finds one renews it."""
    if ids:
        await tx.execute(_QUEUE, ids=list(ids), after=review_after)


async def keep(tx: Transaction, ids: Sequence[int]) -> None:
    """Make manifests stand for themselves again: no collection takes them for what they once belonged to."""
    if ids:
        await tx.execute(_KEEP, ids=list(ids))


async def renew(tx: Transaction, manifest_id: int, *, review_after: int) -> bool:
    """Put off the time when a queued manifest may be looked at; False when it is not queued any more, or gone."""
    return await tx.execute(_RENEW, manifest_id=manifest_id, after=review_after) == 1


async def missing_children(reader: Reader, manifest_id: int) -> list[str]:
    """Return the digests that an index lists and its repository does not have."""
    return [row[0] for row in await reader.all(_MISSING_CHILDREN, manifest_id=manifest_id)]


async def drop_references(tx: Transaction, manifest_id: int) -> None:
    """Take back what `refer` recorded."""
    await tx.execute(_DROP_BLOBS, manifest_id=manifest_id)
    await tx.execute(_DROP_CHILDREN, manifest_id=manifest_id)


async def remove(tx: Transaction, manifest: ManifestRow) -> bool:
    """Remove a manifest that no tag points at; its bytes too when no repository has it any more, which is returned."""
    await drop_references(tx, manifest.id)
    await tx.execute(_REMOVE, manifest_id=manifest.id)
    return await remove_content(tx, manifest.digest)


async def remove_content(tx: Transaction, digest: str) -> bool:
    """Remove the bytes of a manifest unless a repository has it; True when they went."""
    # Locked in a statement of its own: the next one sees what whoever held the lock before us has committed.
    await tx.one(_LOCK_CONTENT, digest=digest)
    return await tx.execute(_REMOVE_CONTENT, digest=digest) == 1
