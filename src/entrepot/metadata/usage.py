"""What each project uses: charged and taken back in the transaction that changes it, so that it never drifts.

`project_blobs` says how many manifests of a project refer to each blob, things in the trash included; `project_usage`
holds the sums, and the limits beside them, so that one statement changes the one and answers with the other.
`settling` adds everything up from nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, delete, func, literal, select, update

from entrepot.metadata import clock
from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.shadows import listed
from entrepot.metadata.tables import (
    blobs,
    project_blobs,
    project_reservations,
    project_usage,
    projects,
    repositories,
)

#: Charge models: a blob counts once for its project, or once for each manifest that refers to it.
SHARED: Final = "shared"
FULL: Final = "full"

_U = project_usage.c
_R = project_reservations.c
_COUNTS: Final = ("blob_bytes", "full_bytes", "manifest_bytes", "manifests", "reserved_bytes")
_LIMITS: Final = (
    "charge",
    "hard_bytes",
    "soft_bytes",
    "hard_manifests",
    "soft_manifests",
    "hard_repositories",
    "soft_repositories",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a project uses, or by how much that changes."""

    blob_bytes: int = 0
    full_bytes: int = 0
    manifest_bytes: int = 0
    manifests: int = 0
    reserved_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a project may use: refused beyond `hard`, warned of beyond `soft`; None where there is no bound."""

    charge: str = SHARED
    hard_bytes: int | None = None
    soft_bytes: int | None = None
    hard_manifests: int | None = None
    soft_manifests: int | None = None
    hard_repositories: int | None = None
    soft_repositories: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a project uses, and what it may."""

    counts: Counts
    limits: Limits

    @property
    def bytes(self) -> int:
        """The bytes that count: blobs by the project's charge model, manifests, and what is reserved."""
        counts = self.counts
        blob_bytes = counts.full_bytes if self.limits.charge == FULL else counts.blob_bytes
        return blob_bytes + counts.manifest_bytes + counts.reserved_bytes


STANDING: Final = tuple(_U[name] for name in (*_COUNTS, *_LIMITS))


def _refer(d: Dialect) -> Any:
    chosen = (
        select(bindparam("project", type_=WHOLE), blobs.c.id, literal(1, WHOLE))
        .where(in_list(blobs.c.id, "ids"))
        .order_by(blobs.c.id)
    )
    return (
        d.insert(project_blobs)
        .from_select(["project_id", "blob_id", "references"], chosen)
        .on_conflict_do_update(
            index_elements=[project_blobs.c.project_id, project_blobs.c.blob_id],
            set_={"references": project_blobs.c.references + 1},
        )
        .returning(project_blobs.c.blob_id, project_blobs.c.references)
    )


_REFER = Query(_refer, "usage.refer")
_LET_GO = Query(
    update(project_blobs)
    .where(project_blobs.c.project_id == bindparam("project"), in_list(project_blobs.c.blob_id, "ids"))
    .values(references=project_blobs.c.references - 1)
    .returning(project_blobs.c.blob_id, project_blobs.c.references),
    "usage.let_go",
)
_DROP_UNUSED = Query(
    delete(project_blobs).where(
        project_blobs.c.project_id == bindparam("project"),
        in_list(project_blobs.c.blob_id, "ids"),
        project_blobs.c.references <= 0,
    ),
    "usage.drop_unused",
)
_SIZES = Query(select(blobs.c.id, blobs.c.size).where(in_list(blobs.c.id, "ids")), "usage.sizes")


def _change(d: Dialect) -> Any:
    insert = d.insert(project_usage).values(
        project_id=bindparam("project"), updated_at=bindparam("now"), **{name: bindparam(name) for name in _COUNTS}
    )
    added = {name: _U[name] + insert.excluded[name] for name in _COUNTS}
    return insert.on_conflict_do_update(
        index_elements=[_U.project_id], set_={**added, "updated_at": insert.excluded.updated_at}
    ).returning(*STANDING)


_CHANGE = Query(_change, "usage.change")
_FIND = Query(select(*STANDING).where(_U.project_id == bindparam("project")), "usage.find")
_FIND_LIMITED = Query(
    select(_U.project_id, *STANDING)
    .select_from(projects.join(project_usage, _U.project_id == projects.c.id))
    .where(projects.c.name == bindparam("name"), _U.hard_bytes.is_not(None)),
    "usage.find_limited",
)
_RESERVE = Query(
    lambda d: (
        d.insert(project_reservations)
        .values(
            project_id=bindparam("project"),
            blob_id=bindparam("blob"),
            size=bindparam("size"),
            expires_at=bindparam("until"),
        )
        .on_conflict_do_nothing()
    ),
    "usage.reserve",
)
_PROLONG = Query(
    update(project_reservations)
    .where(_R.project_id == bindparam("project"), _R.blob_id == bindparam("blob"), _R.expires_at < bindparam("until"))
    .values(expires_at=bindparam("until")),
    "usage.prolong",
)
_IS_REFERRED_TO = Query(
    select(project_blobs.c.blob_id).where(
        project_blobs.c.project_id == bindparam("project"), project_blobs.c.blob_id == bindparam("blob")
    ),
    "usage.is_referred_to",
)
_COUNTED = Query(
    select(blobs.c.id)
    .select_from(
        blobs.outerjoin(
            project_blobs,
            (project_blobs.c.blob_id == blobs.c.id) & (project_blobs.c.project_id == bindparam("project")),
        ).outerjoin(project_reservations, (_R.blob_id == blobs.c.id) & (_R.project_id == bindparam("project")))
    )
    .where(blobs.c.digest == bindparam("digest"), project_blobs.c.blob_id.is_not(None) | _R.blob_id.is_not(None)),
    "usage.counted",
)
_UNRESERVE = Query(
    delete(project_reservations)
    .where(_R.project_id == bindparam("project"), in_list(_R.blob_id, "ids"))
    .returning(_R.size),
    "usage.unreserve",
)
_LAPSE = Query(
    delete(project_reservations)
    .where(_R.project_id == bindparam("project"), _R.expires_at <= bindparam("now"))
    .returning(_R.size),
    "usage.lapse",
)
_FORGET = Query(
    delete(project_reservations).where(in_list(_R.blob_id, "ids")).returning(_R.project_id, _R.size), "usage.forget"
)
_REPOSITORIES = Query(
    select(func.count()).select_from(
        select(repositories.c.id)
        .where(repositories.c.project_id == bindparam("project"), listed(repositories.c.sort_key))
        .limit(bindparam("most"))
        .subquery()
    ),
    "usage.repositories",
)
_SET_LIMITS = Query(
    lambda d: (
        (
            insert := d.insert(project_usage).values(
                project_id=bindparam("project"),
                updated_at=bindparam("now"),
                **{name: bindparam(name) for name in _LIMITS},
            )
        )
        .on_conflict_do_update(
            index_elements=[_U.project_id],
            set_={**{name: insert.excluded[name] for name in _LIMITS}, "updated_at": insert.excluded.updated_at},
        )
        .returning(*STANDING)
    ),
    "usage.set_limits",
)


def standing_of(row: Row | None) -> Standing:
    """Read the columns of `STANDING`; a project without a row uses nothing."""
    if row is None or row[0] is None:
        return Standing(Counts(), Limits())
    counts = dict(zip(_COUNTS, map(int, row[: len(_COUNTS)]), strict=True))
    limits = dict(zip(_LIMITS, row[len(_COUNTS) :], strict=True))
    return Standing(Counts(**counts), Limits(**{**limits, "charge": limits["charge"] or SHARED}))


async def find(reader: Reader, project_id: int) -> Standing:
    """Return what a project uses and may use."""
    return standing_of(await reader.one(_FIND, project=project_id))


async def find_limited(reader: Reader, project: str) -> tuple[int, Standing] | None:
    """Return the row id of a project of this name and how it stands, if there is a limit for its bytes."""
    row = await reader.one(_FIND_LIMITED, name=project)
    return None if row is None else (row[0], standing_of(row[1:]))


async def charge(
    tx: Transaction, project_id: int, blob_ids: Sequence[int], *, manifest_bytes: int = 0, manifests: int = 0
) -> Standing:
    """Count one more manifest of a project that refers to each of these blobs; return how the project stands then.

    Ends with the statement that locks the project's sums: call it last in a transaction that others wait for.

    Args:
        tx: The transaction.
        project_id: Whose manifest it is.
        blob_ids: What it refers to, each once.
        manifest_bytes: Its own size, unless it was counted before.
        manifests: 1, unless it was counted before.
    """
    rows = await tx.all(_REFER, project=project_id, ids=list(blob_ids)) if blob_ids else []
    once, full = await _sums(tx, blob_ids, {row[0] for row in rows if row[1] == 1})
    added = Counts(blob_bytes=once, full_bytes=full, manifest_bytes=manifest_bytes, manifests=manifests)
    standing = await change(tx, project_id, added)
    return await _unreserve(tx, project_id, blob_ids, standing)


async def discharge(
    tx: Transaction, project_id: int, blob_ids: Sequence[int], *, manifest_bytes: int = 0, manifests: int = 0
) -> Standing:
    """Take back one `charge`."""
    rows = await tx.all(_LET_GO, project=project_id, ids=list(blob_ids)) if blob_ids else []
    gone = {row[0] for row in rows if row[1] <= 0}
    if gone:
        await tx.execute(_DROP_UNUSED, project=project_id, ids=list(gone))
    once, full = await _sums(tx, blob_ids, gone)
    taken = Counts(blob_bytes=-once, full_bytes=-full, manifest_bytes=-manifest_bytes, manifests=-manifests)
    return await change(tx, project_id, taken)


async def change(tx: Transaction, project_id: int, by: Counts) -> Standing:
    """Add to what a project uses; return how it stands then."""
    counts = {name: getattr(by, name) for name in _COUNTS}
    return standing_of(await tx.one(_CHANGE, project=project_id, now=clock.now(), **counts))


async def _sums(tx: Transaction, blob_ids: Sequence[int], chosen: Collection[int]) -> tuple[int, int]:
    """Return the bytes of the chosen ones among some blobs, and of all."""
    sizes = {row[0]: row[1] for row in await tx.all(_SIZES, ids=list(blob_ids))} if blob_ids else {}
    return sum(sizes[blob] for blob in chosen), sum(sizes.values())


async def reserve(tx: Transaction, project_id: int, blob_id: int, size: int, *, until: int) -> Standing | None:
    """Count a blob for a project of which no manifest refers to it yet; None when it counts already.

    `until` is when it stops to count by itself, if no manifest comes.
    """
    if await tx.one(_IS_REFERRED_TO, project=project_id, blob=blob_id) is not None:
        return None
    if not await tx.execute(_RESERVE, project=project_id, blob=blob_id, size=size, until=until):
        await tx.execute(_PROLONG, project=project_id, blob=blob_id, until=until)
        return None
    return await change(tx, project_id, Counts(reserved_bytes=size))


async def release(tx: Transaction, project_id: int, blob_ids: Sequence[int]) -> None:
    """End the reservations of blobs: what was to refer to them was refused."""
    await _unreserve(tx, project_id, blob_ids, await find(tx, project_id))


async def forget(tx: Transaction, blob_ids: Sequence[int]) -> None:
    """End all reservations of blobs that go: whoever pushed them never referred to them."""
    rows = await tx.all(_FORGET, ids=list(blob_ids)) if blob_ids else []
    for project_id in sorted({row[0] for row in rows}):
        size = sum(row[1] for row in rows if row[0] == project_id)
        await change(tx, project_id, Counts(reserved_bytes=-size))


async def _unreserve(tx: Transaction, project_id: int, blob_ids: Sequence[int], standing: Standing) -> Standing:
    if not standing.counts.reserved_bytes:
        return standing
    rows = await tx.all(_LAPSE, project=project_id, now=clock.now())
    if blob_ids:
        rows += await tx.all(_UNRESERVE, project=project_id, ids=list(blob_ids))
    size = sum(row[0] for row in rows)
    return await change(tx, project_id, Counts(reserved_bytes=-size)) if size else standing


async def counts(reader: Reader, project_id: int, digest: str) -> bool:
    """Tell whether a blob counts for a project already."""
    return await reader.one(_COUNTED, project=project_id, digest=digest) is not None


async def set_limits(tx: Transaction, project_id: int, limits: Limits) -> Standing:
    """Say what a project may use; return how it stands."""
    values = {name: getattr(limits, name) for name in _LIMITS}
    return standing_of(await tx.one(_SET_LIMITS, project=project_id, now=clock.now(), **values))


async def repositories_up_to(reader: Reader, project_id: int, most: int) -> int:
    """Count the repositories of a project, those in the trash left out, up to `most`."""
    row = await reader.one(_REPOSITORIES, project=project_id, most=most)
    return 0 if row is None else int(row[0])
