"""Charging projects for their manifests and taking it back, in the transaction that changes them.

`project_blobs` says how many manifests of a project refer to each blob, things in the trash included. Of manifests with
the same bytes, in several repositories of a project, one counts among `manifest_bytes` and the others among
`full_bytes`, as with blobs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, literal, select, update

from entrepot.metadata.columns import WHOLE
from entrepot.metadata.database import Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import blobs, manifests, project_blobs, repositories
from entrepot.metadata.usage import reservations
from entrepot.metadata.usage.usage import Counts, Standing, change


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


_REFER = Query(_refer, "charges.refer")
_LET_GO = Query(
    update(project_blobs)
    .where(project_blobs.c.project_id == bindparam("project"), in_list(project_blobs.c.blob_id, "ids"))
    .values(references=project_blobs.c.references - 1)
    .returning(project_blobs.c.blob_id, project_blobs.c.references),
    "charges.let_go",
)
_DROP_UNUSED = Query(
    delete(project_blobs).where(
        project_blobs.c.project_id == bindparam("project"),
        in_list(project_blobs.c.blob_id, "ids"),
        project_blobs.c.references <= 0,
    ),
    "charges.drop_unused",
)
#: Copies of a manifest that are looked at before the repositories of the project are.
_FEW: Final = 100
_SOME_COPIES = Query(
    select(repositories.c.project_id)
    .select_from(manifests.join(repositories, repositories.c.id == manifests.c.repository_id))
    .where(manifests.c.digest == bindparam("digest"), manifests.c.id != bindparam("manifest"))
    .limit(bindparam("most")),
    "charges.some_copies",
)
_COPY = Query(
    select(repositories.c.id)
    .where(
        repositories.c.project_id == bindparam("project"),
        exists(
            select(1).where(
                manifests.c.repository_id == repositories.c.id,
                manifests.c.digest == bindparam("digest"),
                manifests.c.id != bindparam("manifest"),
            )
        ),
    )
    .limit(1),
    "charges.copy",
)
_SIZES = Query(select(blobs.c.id, blobs.c.size).where(in_list(blobs.c.id, "ids")), "charges.sizes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """A manifest that comes to a project or leaves it."""

    id: int
    digest: str
    size: int


async def charge(
    tx: Transaction, project_id: int, blob_ids: Sequence[int], *, manifest: Charged | None = None
) -> Standing:
    """Count one more manifest of a project that refers to each of these blobs; return how the project stands then.

    Ends with the statements that lock the project's sums: call it last in a transaction that others wait for.

    Args:
        tx: The transaction.
        project_id: Whose manifest it is.
        blob_ids: What it refers to, each once.
        manifest: Itself, unless it was counted before.
    """
    rows = await tx.all(_REFER, project=project_id, ids=list(blob_ids)) if blob_ids else []
    once, full = await _sums(tx, blob_ids, {row[0] for row in rows if row[1] == 1})
    standing = await change(tx, project_id, _counts(once, full, manifest))
    if manifest is not None and await _has_copy(tx, project_id, manifest):
        standing = await change(tx, project_id, Counts(full_bytes=manifest.size, manifest_bytes=-manifest.size))
    return await reservations.end(tx, project_id, blob_ids, standing)


async def discharge(
    tx: Transaction, project_id: int, blob_ids: Sequence[int], *, manifest: Charged | None = None
) -> Standing:
    """Take back one `charge`."""
    rows = await tx.all(_LET_GO, project=project_id, ids=list(blob_ids)) if blob_ids else []
    gone = {row[0] for row in rows if row[1] <= 0}
    if gone:
        await tx.execute(_DROP_UNUSED, project=project_id, ids=list(gone))
    once, full = await _sums(tx, blob_ids, gone)
    added = _counts(once, full, manifest)
    standing = await change(tx, project_id, Counts(**{name: -value for name, value in asdict(added).items()}))
    if manifest is not None and await _has_copy(tx, project_id, manifest):
        standing = await change(tx, project_id, Counts(full_bytes=-manifest.size, manifest_bytes=manifest.size))
    return standing


def _counts(once: int, full: int, manifest: Charged | None) -> Counts:
    if manifest is None:
        return Counts(blob_bytes=once, full_bytes=full)
    return Counts(blob_bytes=once, full_bytes=full, manifest_bytes=manifest.size, manifests=1)


async def _has_copy(tx: Transaction, project_id: int, manifest: Charged) -> bool:
    """Tell whether another repository of the project has the same bytes, whose sums the caller has locked.

    Asked by the digest first, of which there are few as a rule; of one that very many have, by the project.
    """
    given = {"project": project_id, "digest": manifest.digest, "manifest": manifest.id}
    near = await tx.all(_SOME_COPIES, digest=manifest.digest, manifest=manifest.id, most=_FEW)
    if any(row[0] == project_id for row in near):
        return True
    return len(near) == _FEW and await tx.one(_COPY, **given) is not None


async def _sums(tx: Transaction, blob_ids: Sequence[int], chosen: Collection[int]) -> tuple[int, int]:
    """Return the bytes of the chosen ones among some blobs, and of all."""
    sizes = {row[0]: row[1] for row in await tx.all(_SIZES, ids=list(blob_ids))} if blob_ids else {}
    return sum(sizes[blob] for blob in chosen), sum(sizes.values())
