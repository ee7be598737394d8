"""Holdings: which repositories have which blobs; pushed there, mounted there, or named by a manifest there.

A repository that lets go of a blob is losing it for a while: it is read and mounted there as long, and a push that was
told of it before may use it. What may not be kept is cut short.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, cast, delete, exists, func, or_, select, update

from entrepot.metadata import clock
from entrepot.metadata.columns import WHOLE
from entrepot.metadata.contents.blobs import COLUMNS, DELETING, READABLE, BlobRow, record_of
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.query import Query, in_list, list_rows, word
from entrepot.metadata.tables import blobs, manifest_blobs, repositories, repository_blobs
from entrepot.metadata.trash_namespaces import listed

_HELD = (
    select(*COLUMNS)
    .select_from(repositories)
    .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
    .join(blobs, blobs.c.id == repository_blobs.c.blob_id)
)
_IS_HELD = repository_blobs.c.lapses_at.is_(None)
_FIND_IN = Query(
    _HELD.add_columns(repository_blobs.c.lapses_at).where(
        repositories.c.name == bindparam("repository"), blobs.c.digest == bindparam("digest"), READABLE
    ),
    "repository_blobs.find_in",
    recalled=True,
)


def _find_all(dialect: Dialect) -> Any:
    """Look for many, each given as the name of the repository and the digest."""
    place = list_rows(dialect, "places")
    return (
        select(repositories.c.name, blobs.c.digest, blobs.c.storage_key)
        .select_from(repositories)
        .join(repository_blobs, repository_blobs.c.repository_id == repositories.c.id)
        .join(blobs, blobs.c.id == repository_blobs.c.blob_id)
        .where(
            repositories.c.name == word(dialect, place, 1),
            blobs.c.digest == word(dialect, place, 2),
            READABLE,
            _IS_HELD,
        )
    )


_FIND_ALL = Query(_find_all, "repository_blobs.find_all")
#: Found by digest, then asked whether the repository has them: a repository may have very many others.
_HERE = (repository_blobs.c.repository_id == bindparam("repository_id"), repository_blobs.c.blob_id == blobs.c.id)
_IN_REPOSITORY = exists(select(1).where(*_HERE)).correlate(blobs)
_LAPSES_AT = select(repository_blobs.c.lapses_at).where(*_HERE).correlate(blobs).scalar_subquery()
_HELD_OF = Query(
    select(*COLUMNS, _LAPSES_AT)
    .where(in_list(blobs.c.digest, "digests"), _IN_REPOSITORY, READABLE)
    .with_for_update(of=blobs),
    "repository_blobs.held_of",
)
_HOLDS_NOW = Query(
    select(repository_blobs.c.blob_id, repository_blobs.c.lapses_at).where(
        repository_blobs.c.repository_id == bindparam("repository_id"), in_list(repository_blobs.c.blob_id, "ids")
    ),
    "repository_blobs.holds_now",
)
_LINKED = Query(
    select(blobs.c.digest).where(
        in_list(blobs.c.digest, "digests"),
        exists(select(1).where(*_HERE, _IS_HELD)).correlate(blobs),
        blobs.c.state != DELETING,
    ),
    "repository_blobs.linked",
)
_HOLDERS = Query(
    select(repositories.c.name)
    .select_from(blobs)
    .join(repository_blobs, repository_blobs.c.blob_id == blobs.c.id)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(
        blobs.c.digest == bindparam("digest"),
        READABLE,
        or_(_IS_HELD, repository_blobs.c.lapses_at > bindparam("now")),
        listed(repositories.c.name),
    )
    .limit(bindparam("limit")),
    "repository_blobs.holders",
)
_OF_REPOSITORIES = Query(
    select(repositories.c.name)
    .select_from(repository_blobs)
    .join(repositories, repositories.c.id == repository_blobs.c.repository_id)
    .where(repository_blobs.c.blob_id == bindparam("blob_id"), listed(repositories.c.name))
    .limit(bindparam("limit")),
    "repository_blobs.of_repositories",
)
_LINK = Query(
    lambda d: (
        d.insert(repository_blobs)
        .values(
            repository_id=bindparam("repository_id"), blob_id=bindparam("blob_id"), created_at=bindparam("created_at")
        )
        .on_conflict_do_update(
            index_elements=[repository_blobs.c.repository_id, repository_blobs.c.blob_id],
            set_={"lapses_at": None},
            where=repository_blobs.c.lapses_at.is_not(None),
        )
    ),
    "repository_blobs.link",
)
_UNLINK = Query(
    delete(repository_blobs).where(
        repository_blobs.c.repository_id == bindparam("repository_id"),
        repository_blobs.c.blob_id == bindparam("blob_id"),
    ),
    "repository_blobs.unlink",
)
_LAPSE = Query(
    update(repository_blobs)
    .where(
        repository_blobs.c.repository_id == bindparam("repository"),
        in_list(repository_blobs.c.blob_id, "ids"),
        _IS_HELD,
        ~exists(
            select(1).where(
                manifest_blobs.c.blob_id == repository_blobs.c.blob_id,
                manifest_blobs.c.repository_id == repository_blobs.c.repository_id,
            )
        ).correlate(repository_blobs),
    )
    .values(lapses_at=bindparam("after"))
    .returning(repository_blobs.c.blob_id),
    "repository_blobs.lapse",
)
_PUT_OFF = Query(
    update(repository_blobs)
    .where(
        repository_blobs.c.repository_id == bindparam("repository"),
        repository_blobs.c.blob_id == bindparam("blob"),
        repository_blobs.c.lapses_at < bindparam("after"),
    )
    .values(lapses_at=bindparam("after")),
    "repository_blobs.put_off",
)
_CUT_SHORT = Query(
    update(repository_blobs)
    .where(
        repository_blobs.c.repository_id == bindparam("repository"),
        in_list(repository_blobs.c.blob_id, "ids"),
        repository_blobs.c.lapses_at > bindparam("now"),
    )
    .values(lapses_at=bindparam("now")),
    "repository_blobs.cut_short",
)
_REVIVE = Query(
    lambda d: (
        d.insert(repository_blobs)
        .from_select(
            ["repository_id", "blob_id", "created_at"],
            select(manifest_blobs.c.repository_id, manifest_blobs.c.blob_id, cast(bindparam("now"), WHOLE))
            .where(manifest_blobs.c.manifest_id == bindparam("manifest"))
            .distinct(),
        )
        .on_conflict_do_update(
            index_elements=[repository_blobs.c.repository_id, repository_blobs.c.blob_id],
            set_={"lapses_at": None},
            where=repository_blobs.c.lapses_at.is_not(None),
        )
        .returning(repository_blobs.c.blob_id)
    ),
    "repository_blobs.revive",
)
_DIGESTS = Query(select(blobs.c.digest).where(in_list(blobs.c.id, "ids")), "repository_blobs.digests")
_LAPSED = Query(
    select(repository_blobs.c.repository_id, repository_blobs.c.blob_id)
    .where(repository_blobs.c.lapses_at <= bindparam("now"))
    .order_by(repository_blobs.c.lapses_at)
    .limit(bindparam("limit")),
    "repository_blobs.lapsed",
)
_DROP_LAPSED = Query(
    delete(repository_blobs).where(
        repository_blobs.c.repository_id == bindparam("repository"),
        repository_blobs.c.blob_id == bindparam("blob"),
        repository_blobs.c.lapses_at <= bindparam("now"),
    ),
    "repository_blobs.drop_lapsed",
)
_REFERENCES_IN = Query(
    select(func.count())
    .select_from(manifest_blobs)
    .where(
        manifest_blobs.c.blob_id == bindparam("blob_id"), manifest_blobs.c.repository_id == bindparam("repository_id")
    ),
    "repository_blobs.references_in",
)


async def find_all(reader: Reader, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return under which keys the bytes lie of blobs that repositories hold, by name and digest."""
    wanted = [f"{name} {digest}" for name, digest in sorted(places)]
    rows = await reader.all(_FIND_ALL, places=wanted) if wanted else []
    return {(row[0], row[1]): row[2] for row in rows}


async def find_in(reader: Reader, repository: str, digest: str) -> BlobRow | None:
    """Return a blob that the repository of this exact name holds, or is losing but still lets be read."""
    row = await reader.one(_FIND_IN, repository=repository, digest=digest)
    if row is None or (row[-1] is not None and row[-1] <= clock.now()):
        return None
    return record_of(row)


async def held(tx: Reader, repository_id: int, digests: Sequence[str]) -> dict[str, BlobRow]:
    """Return those of `digests` that a repository holds, also those it is losing, locked until the transaction ends.

    Whether it does is asked once more when they are locked: on PostgreSQL, who waited for a lock has seen what was so
    before, and a deletion that came first has ended since.
    """
    if not digests:
        return {}
    rows = await tx.all(_HELD_OF, repository_id=repository_id, digests=list(digests))
    found = await tx.all(_HOLDS_NOW, repository_id=repository_id, ids=[row[0] for row in rows]) if rows else []
    lapses_at = {row[0]: row[1] for row in found}
    return {row[1]: replace(record_of(row), lapses_at=lapses_at[row[0]]) for row in rows if row[0] in lapses_at}


async def linked(reader: Reader, repository_id: int, digests: Sequence[str]) -> set[str]:
    """Return those of `digests` that belong to a repository, whether or not their bytes are there."""
    rows = await reader.all(_LINKED, repository_id=repository_id, digests=list(digests)) if digests else []
    return {row[0] for row in rows}


async def holders(reader: Reader, digest: str, limit: int) -> list[str]:
    """Return names of up to `limit` repositories that hold a blob."""
    return [row[0] for row in await reader.all(_HOLDERS, digest=digest, now=clock.now(), limit=limit)]


async def of_repositories(reader: Reader, blob_id: int, limit: int) -> list[str]:
    """Return names of up to `limit` repositories that a blob belongs to, whether or not its bytes are there."""
    return [row[0] for row in await reader.all(_OF_REPOSITORIES, blob_id=blob_id, limit=limit)]


async def link(tx: Transaction, repository_id: int, blob_id: int) -> bool:
    """Let a repository hold a blob, also one that it was losing; False when it did already."""
    return await tx.execute(_LINK, repository_id=repository_id, blob_id=blob_id, created_at=clock.now()) == 1


async def link_all(tx: Transaction, repository_id: int, blob_ids: Iterable[int]) -> None:
    """Let a repository hold blobs."""
    now = clock.now()
    rows = [{"repository_id": repository_id, "blob_id": blob_id, "created_at": now} for blob_id in blob_ids]
    if rows:
        await tx.many(_LINK, rows)


async def lapse(tx: Transaction, repository_id: int, ids: Sequence[int], *, after: int) -> list[str]:
    """Let go of those blobs, locked before, that no manifest of a repository refers to; return their digests.

    They are read and mounted until `after`; a push that was told of them before may use them until `drop_lapsed`.
    """
    rows = await tx.all(_LAPSE, repository=repository_id, ids=list(ids), after=after) if ids else []
    return await _digests(tx, rows)


async def put_off(tx: Transaction, repository_id: int, blob_id: int, *, after: int) -> None:
    """Let a blob that a repository is losing be read until `after`, if that is later."""
    await tx.execute(_PUT_OFF, repository=repository_id, blob=blob_id, after=after)


async def cut_short(tx: Transaction, repository_id: int, ids: Sequence[int]) -> None:
    """Let nobody read from now on those of the blobs, locked before, that a repository is losing."""
    if ids:
        await tx.execute(_CUT_SHORT, repository=repository_id, ids=list(ids), now=clock.now())


async def revive(tx: Transaction, manifest_id: int) -> list[str]:
    """Let a repository hold all that one of its manifests refers to; return the digests of what it did not hold."""
    return await _digests(tx, await tx.all(_REVIVE, manifest=manifest_id, now=clock.now()))


async def _digests(reader: Reader, rows: Sequence[Row]) -> list[str]:
    ids = [row[0] for row in rows]
    return sorted(row[0] for row in await reader.all(_DIGESTS, ids=ids)) if ids else []


async def drop_lapsed(tx: Transaction, *, limit: int) -> int:
    """Forget up to `limit` blobs that repositories let go of, and whose time is over; return how many those were."""
    now = clock.now()
    rows = await tx.all(_LAPSED, now=now, limit=limit)
    if rows:
        await tx.many(_DROP_LAPSED, [{"repository": row[0], "blob": row[1], "now": now} for row in rows])
    return len(rows)


async def unlink(tx: Transaction, repository_id: int, blob_id: int) -> bool:
    """Take a blob out of a repository; False when it was not there."""
    return await tx.execute(_UNLINK, repository_id=repository_id, blob_id=blob_id) == 1


async def references_in(reader: Reader, repository_id: int, blob_id: int) -> int:
    """Count the references to a blob by manifests of one repository."""
    row = await reader.one(_REFERENCES_IN, repository_id=repository_id, blob_id=blob_id)
    return 0 if row is None else int(row[0])
