"""Tags: movable names for manifests, and where each pointed before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import bindparam, cast, delete, exists, or_, select, update

from entrepot.metadata import clock
from entrepot.metadata.columns import TEXT, WHOLE
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import manifests, repositories, tag_history, tags

SET = "set"
DELETED = "deleted"
RESTORED = "restored"  #: out of the trash, or to what it named before
ASIDE = "aside"  #: it could have been restored to that digest, but named something else: now it can be put back
#: Rows of the history that are read at a time.
_PIECE = 5_000

#: The repository is looked up first, and not joined: PostgreSQL would read all of its tags, and sort them.
_LIST = Query(
    select(tags.c.name)
    .where(
        tags.c.repository_id
        == select(repositories.c.id).where(repositories.c.name == bindparam("repository")).scalar_subquery(),
        tags.c.name > bindparam("last"),
    )
    .order_by(tags.c.name)
    .limit(bindparam("limit")),
    "tags.list",
)
#: Asked for a repository that has no tag at all: is it one, or have only blobs been pushed there so far?
_IS_USED = Query(
    select(repositories.c.id).where(
        repositories.c.name == bindparam("repository"),
        or_(
            exists(select(1).where(manifests.c.repository_id == repositories.c.id)),
            exists(select(1).where(tag_history.c.repository_id == repositories.c.id)),
        ),
    ),
    "tags.is_used",
)
_CURRENT = Query(
    select(tags.c.name, tags.c.manifest_id, manifests.c.digest)
    .join(manifests, manifests.c.id == tags.c.manifest_id)
    .where(tags.c.repository_id == bindparam("repository_id"), in_list(tags.c.name, "names"))
    .with_for_update(of=tags),
    "tags.current",
)
_OF_MANIFEST = Query(
    select(tags.c.name).where(tags.c.manifest_id == bindparam("manifest_id")).order_by(tags.c.name).with_for_update(),
    "tags.of_manifest",
)
_PUT = Query(
    lambda d: (
        insert := d.insert(tags).values(
            repository_id=bindparam("repository_id"),
            name=bindparam("name"),
            manifest_id=bindparam("manifest_id"),
            created_at=bindparam("now"),
            updated_at=bindparam("now"),
        )
    ).on_conflict_do_update(
        index_elements=[tags.c.repository_id, tags.c.name],
        set_={"manifest_id": insert.excluded.manifest_id, "updated_at": insert.excluded.updated_at},
    ),
    "tags.put",
)
_ADD = Query(
    lambda d: (
        d.insert(tags)
        .values(
            repository_id=bindparam("repository_id"),
            name=bindparam("name"),
            manifest_id=bindparam("manifest_id"),
            created_at=bindparam("now"),
            updated_at=bindparam("now"),
        )
        .on_conflict_do_nothing()
    ),
    "tags.add",
)
_REMOVE = Query(
    delete(tags).where(tags.c.repository_id == bindparam("repository_id"), in_list(tags.c.name, "names")),
    "tags.remove",
)
_REMEMBER = Query(
    lambda d: d.insert(tag_history).from_select(
        ["repository_id", "name", "digest", "action", "actor", "at"],
        select(
            tags.c.repository_id,
            tags.c.name,
            cast(bindparam("digest"), TEXT),
            cast(bindparam("action"), TEXT),
            cast(bindparam("actor"), TEXT),
            cast(bindparam("at"), WHOLE),
        ).where(tags.c.repository_id == bindparam("repository_id"), in_list(tags.c.name, "names")),
    ),
    "tags.remember",
)
_MOVE_HISTORY = Query(
    update(tag_history)
    .where(
        tag_history.c.id.in_(
            select(tag_history.c.id)
            .where(tag_history.c.repository_id == bindparam("source"))
            .limit(bindparam("limit"))
            .scalar_subquery()
        )
    )
    .values(repository_id=bindparam("target")),
    "tags.move_history",
)  #: A move of a tag, wherever the tag is in its repository; the next ones follow in this order.
_MOVES = Query(
    select(tag_history.c.name, tag_history.c.id, tag_history.c.digest)
    .where(
        tag_history.c.repository_id == bindparam("repository_id"),
        tag_history.c.name >= bindparam("name"),
        or_(tag_history.c.name > bindparam("name"), tag_history.c.id > bindparam("after")),
    )
    .order_by(tag_history.c.name, tag_history.c.id)
    .limit(bindparam("limit")),
    "tags.moves",
)
_FORGET = Query(delete(tag_history).where(in_list(tag_history.c.id, "ids")), "tags.forget")
_TOUCHED = Query(
    select(tag_history.c.name)
    .where(
        tag_history.c.repository_id == bindparam("repository_id"),
        in_list(tag_history.c.name, "names"),
        tag_history.c.actor != bindparam("actor"),
    )
    .distinct(),
    "tags.touched",
)


async def page(reader: Reader, repository: str, *, limit: int, last: str) -> list[str]:
    """Return up to `limit` tags after `last`, in bytewise order, of the repository of this exact name."""
    return [row[0] for row in await reader.all(_LIST, repository=repository, limit=limit, last=last)]


async def is_used(reader: Reader, repository: str) -> bool:
    """Tell whether a repository has a manifest, or has or had a tag; blobs alone are pushed before either."""
    return await reader.one(_IS_USED, repository=repository) is not None


async def current(tx: Reader, repository_id: int, names: Sequence[str]) -> dict[str, str]:
    """Return the digest that each of `names` points at now, locked until the transaction ends."""
    rows = await tx.all(_CURRENT, repository_id=repository_id, names=list(names))
    return {row[0]: row[2] for row in rows}


async def of_manifest(reader: Reader, manifest_id: int) -> list[str]:
    """Return the tags that point at a manifest, locked until the transaction ends."""
    return [row[0] for row in await reader.all(_OF_MANIFEST, manifest_id=manifest_id)]


async def put(
    tx: Transaction, repository_id: int, names: Sequence[str], manifest_id: int, *, at: int | None = None
) -> None:
    """Point tags at a manifest, now or as of `at`."""
    at = clock.now() if at is None else at
    rows = [{"repository_id": repository_id, "name": name, "manifest_id": manifest_id, "now": at} for name in names]
    if rows:
        await tx.many(_PUT, rows)


async def add(tx: Transaction, repository_id: int, names: Sequence[str], manifest_id: int) -> list[str]:
    """Point tags that are not there at a manifest; return those that somebody has set meanwhile, which stay."""
    values = {"repository_id": repository_id, "manifest_id": manifest_id, "now": clock.now()}
    return [name for name in names if await tx.execute(_ADD, name=name, **values) == 0]


async def remove(tx: Transaction, repository_id: int, names: Sequence[str]) -> None:
    """Remove tags; what they pointed at stays."""
    await tx.execute(_REMOVE, repository_id=repository_id, names=list(names))


async def remember(
    tx: Transaction,
    repository_id: int,
    names: Sequence[str],
    *,
    digest: str,
    action: str,
    actor: str,
    at: int | None = None,
) -> None:
    """Write to the history that these tags, which are there, now point at `digest`, or do until they are deleted."""
    if names:
        at = clock.now() if at is None else at
        await tx.execute(
            _REMEMBER,
            repository_id=repository_id,
            names=list(names),
            digest=digest,
            action=action,
            actor=actor,
            at=at,
        )


async def move_history(tx: Transaction, source_id: int, target_id: int, *, limit: int) -> int:
    """Move up to `limit` moves of tags to the history of another repository; return how many."""
    return await tx.execute(_MOVE_HISTORY, source=source_id, target=target_id, limit=limit)


async def moves_to(reader: Reader, repository_id: int, digest: str) -> AsyncIterator[tuple[int, str]]:
    """Give row id and tag of all moves of tags to one manifest, looked for piece by piece."""
    name, after = "", 0
    while rows := await reader.all(_MOVES, repository_id=repository_id, name=name, after=after, limit=_PIECE):
        name, after = rows[-1][0], rows[-1][1]
        for row in rows:
            if row[2] == digest:
                yield row[1], row[0]


async def forget(tx: Transaction, ids: Sequence[int]) -> None:
    """Remove moves of tags from the history."""
    if ids:
        await tx.execute(_FORGET, ids=list(ids))


async def touched(reader: Reader, repository_id: int, names: Sequence[str], *, but_by: str) -> set[str]:
    """Return those of `names` that anybody but one actor ever set or deleted."""
    rows = await reader.all(_TOUCHED, repository_id=repository_id, names=list(names), actor=but_by)
    return {row[0] for row in rows}
