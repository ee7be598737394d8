"""Analyses: what is stored for whom, added up page by page, and the largest things of each."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, func, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.tables import (
    analyses,
    analysis_parts,
    analysis_tops,
    blobs,
    manifest_blobs,
    manifests,
    repositories,
)

PROJECT: Final = "project"
REPOSITORY: Final = "repository"
IMAGE: Final = "image"
LAYER: Final = "layer"
#: The scope of what is largest of all.
EVERYWHERE: Final = 0
SUMS: Final = ("logical_bytes", "stored_bytes", "own_bytes", "unique_bytes", "trash_bytes", "manifests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """One analysis."""

    id: int
    started_at: int
    finished_at: int | None
    cursor: Mapping[str, Any]
    totals: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob, and how many manifests of which repositories refer to it."""

    id: int
    size: int
    state: str
    places: Sequence[tuple[int, int]]  #: repository and number of its manifests


@dataclass(frozen=True, slots=True)
class PlacedManifest:
    """A manifest, and in which repositories the same bytes are."""

    id: int
    repository_id: int
    size: int
    places: Sequence[int]  #: repositories of all manifests with these bytes; of the first of them only, else empty


_A, _P, _T = analyses.c, analysis_parts.c, analysis_tops.c
_COLUMNS = (_A.id, _A.started_at, _A.finished_at, _A.cursor, _A.totals)
_LAST = Query(
    select(*_COLUMNS).where(_A.finished_at.is_not(None)).order_by(_A.id.desc()).limit(1), "analyses.last_finished"
)
_OPEN = Query(select(*_COLUMNS).where(_A.finished_at.is_(None)).order_by(_A.id.desc()).limit(1), "analyses.open")
_BEGIN = Query(
    lambda d: (
        d.insert(analyses).values(started_at=bindparam("now"), cursor=bindparam("cursor"), totals="{}").returning(_A.id)
    ),
    "analyses.begin",
)
_NOTE = Query(
    update(analyses)
    .where(_A.id == bindparam("analysis"))
    .values(cursor=bindparam("new_cursor"), totals=bindparam("new_totals"), finished_at=bindparam("end")),
    "analyses.note",
)
_OLD = Query(select(_A.id).where(_A.id < bindparam("before")).order_by(_A.id).limit(1), "analyses.old")
_FORGET = Query(delete(analyses).where(_A.id == bindparam("analysis")), "analyses.forget")
_SOME_PARTS = select(_P.kind, _P.subject_id).where(_P.analysis_id == bindparam("analysis")).limit(bindparam("limit"))
_FEW_PARTS = Query(_SOME_PARTS, "analyses.few_parts")
_FEW_TOPS = Query(
    select(_T.kind, _T.scope, _T.subject_id).where(_T.analysis_id == bindparam("analysis")).limit(bindparam("limit")),
    "analyses.few_tops",
)
_FORGET_PART = Query(
    delete(analysis_parts).where(
        _P.analysis_id == bindparam("analysis"), _P.kind == bindparam("kind"), _P.subject_id == bindparam("subject")
    ),
    "analyses.forget_part",
)
_ADD_PART = Query(
    lambda d: (
        insert := d.insert(analysis_parts).values(
            analysis_id=bindparam("analysis"),
            kind=bindparam("kind"),
            subject_id=bindparam("subject"),
            project_id=bindparam("project"),
            **{name: bindparam(name) for name in SUMS},
        )
    ).on_conflict_do_update(
        index_elements=[_P.analysis_id, _P.kind, _P.subject_id],
        set_={name: _P[name] + insert.excluded[name] for name in SUMS},
    ),
    "analyses.add_part",
)
_ADD_TOP = Query(
    lambda d: (
        insert := d.insert(analysis_tops).values(
            analysis_id=bindparam("analysis"),
            kind=bindparam("kind"),
            scope=bindparam("scope"),
            subject_id=bindparam("subject"),
            bytes=bindparam("bytes"),
        )
    ).on_conflict_do_update(
        index_elements=[_T.analysis_id, _T.kind, _T.scope, _T.subject_id], set_={"bytes": insert.excluded.bytes}
    ),
    "analyses.add_top",
)
_DROP_TOP = Query(
    delete(analysis_tops).where(
        _T.analysis_id == bindparam("analysis"),
        _T.kind == bindparam("kind"),
        _T.scope == bindparam("scope"),
        _T.subject_id == bindparam("subject"),
    ),
    "analyses.drop_top",
)
_TOPS = Query(
    select(_T.subject_id, _T.bytes)
    .where(_T.analysis_id == bindparam("analysis"), _T.kind == bindparam("kind"), _T.scope == bindparam("scope"))
    .order_by(_T.bytes.desc(), _T.subject_id)
    .limit(bindparam("limit")),
    "analyses.tops",
)
_ALL_TOPS = Query(
    select(_T.kind, _T.scope, _T.subject_id, _T.bytes).where(_T.analysis_id == bindparam("analysis")),
    "analyses.all_tops",
)
_BLOBS = Query(
    select(blobs.c.id, blobs.c.size, blobs.c.state)
    .where(blobs.c.id > bindparam("last"))
    .order_by(blobs.c.id)
    .limit(bindparam("limit")),
    "analyses.blobs",
)
_PLACES = Query(
    select(
        manifest_blobs.c.blob_id,
        manifest_blobs.c.repository_id,
        func.count(manifest_blobs.c.manifest_id.distinct()),
    )
    .where(in_list(manifest_blobs.c.blob_id, "ids"))
    .group_by(manifest_blobs.c.blob_id, manifest_blobs.c.repository_id),
    "analyses.places",
)
_MANIFESTS = Query(
    select(manifests.c.id, manifests.c.repository_id, manifests.c.size, manifests.c.digest)
    .where(manifests.c.id > bindparam("last"))
    .order_by(manifests.c.id)
    .limit(bindparam("limit")),
    "analyses.manifests",
)
_OTHER = manifests.alias("other")
_FIRST = Query(
    select(manifests.c.digest).where(
        in_list(manifests.c.id, "ids"),
        ~exists(select(1).where(_OTHER.c.digest == manifests.c.digest, _OTHER.c.id < manifests.c.id)).correlate(
            manifests
        ),
    ),
    "analyses.first_manifests",
)
_SAME = Query(
    select(manifests.c.digest, manifests.c.repository_id).where(in_list(manifests.c.digest, "digests")),
    "analyses.same_manifests",
)
_REPOSITORIES = Query(
    select(repositories.c.id, repositories.c.project_id, repositories.c.name).where(in_list(repositories.c.id, "ids")),
    "analyses.repositories",
)
_PART = Query(
    select(*(_P[name] for name in SUMS)).where(
        _P.analysis_id == bindparam("analysis"), _P.kind == bindparam("kind"), _P.subject_id == bindparam("subject")
    ),
    "analyses.part",
)


async def last_finished(reader: Reader) -> Analysis | None:
    """Return the last analysis that was finished."""
    return _analysis(await reader.one(_LAST))


async def begun(reader: Reader) -> Analysis | None:
    """Return the analysis that is not finished."""
    return _analysis(await reader.one(_OPEN))


def _analysis(row: Sequence[Any] | None) -> Analysis | None:
    if row is None:
        return None
    return Analysis(
        id=row[0], started_at=row[1], finished_at=row[2], cursor=json.loads(row[3]), totals=json.loads(row[4])
    )


async def begin(tx: Transaction, cursor: Mapping[str, Any]) -> int:
    """Begin an analysis; return its number."""
    row = await tx.one(_BEGIN, now=clock.now(), cursor=json.dumps(cursor))
    assert row is not None
    return int(row[0])


async def note(
    tx: Transaction, analysis: int, cursor: Mapping[str, Any], totals: Mapping[str, Any], *, end: int | None = None
) -> None:
    """Write down how far an analysis is, and when it ended."""
    await tx.execute(_NOTE, analysis=analysis, new_cursor=json.dumps(cursor), new_totals=json.dumps(totals), end=end)


async def add_parts(tx: Transaction, *, analysis: int, rows: Collection[Mapping[str, object]]) -> None:
    """Add to what an analysis found of projects and repositories: `kind`, `subject`, `project` and the sums."""
    await tx.many(_ADD_PART, [{"analysis": analysis, **row} for row in rows])


async def drop_tops(tx: Transaction, *, analysis: int, rows: Collection[Mapping[str, object]]) -> None:
    """Forget what an analysis held to be largest: `kind`, `scope` and `subject`."""
    await tx.many(_DROP_TOP, [{"analysis": analysis, **row} for row in rows])


async def add_tops(tx: Transaction, *, analysis: int, rows: Collection[Mapping[str, object]]) -> None:
    """Keep what an analysis knows to be largest: `kind`, `scope`, `subject` and `bytes`."""
    await tx.many(_ADD_TOP, [{"analysis": analysis, **row} for row in rows])


async def tops(reader: Reader, analysis: int, kind: str, scope: int, *, limit: int) -> list[tuple[int, int]]:
    """Return the row ids and bytes of the largest things, the largest first."""
    return [(row[0], row[1]) for row in await reader.all(_TOPS, analysis=analysis, kind=kind, scope=scope, limit=limit)]


async def all_tops(reader: Reader, analysis: int) -> list[tuple[str, int, int, int]]:
    """Return kind, scope, row id and bytes of all that an analysis knows to be largest."""
    return [(row[0], row[1], row[2], row[3]) for row in await reader.all(_ALL_TOPS, analysis=analysis)]


async def older(reader: Reader, before: int) -> int | None:
    """Return the number of an analysis before another one."""
    row = await reader.one(_OLD, before=before)
    return None if row is None else int(row[0])


async def forget_some(tx: Transaction, analysis: int, *, limit: int) -> bool:
    """Remove up to `limit` things that an analysis found, and then itself; False while there is more."""
    parts = await tx.all(_FEW_PARTS, analysis=analysis, limit=limit)
    await tx.many(_FORGET_PART, [{"analysis": analysis, "kind": row[0], "subject": row[1]} for row in parts])
    if len(parts) == limit:
        return False
    largest = await tx.all(_FEW_TOPS, analysis=analysis, limit=limit)
    rows = [{"kind": row[0], "scope": row[1], "subject": row[2]} for row in largest]
    await drop_tops(tx, analysis=analysis, rows=rows)
    if len(largest) == limit:
        return False
    await tx.execute(_FORGET, analysis=analysis)
    return True


async def blobs_after(reader: Reader, last: int, *, limit: int) -> list[StoredBlob]:
    """Return the next blobs in the order of their row ids, with their places."""
    rows = await reader.all(_BLOBS, last=last, limit=limit)
    places: dict[int, list[tuple[int, int]]] = {row[0]: [] for row in rows}
    for blob, repository, count in await reader.all(_PLACES, ids=list(places)) if rows else []:
        places[blob].append((repository, int(count)))
    return [StoredBlob(row[0], row[1], row[2], places[row[0]]) for row in rows]


async def manifests_after(reader: Reader, last: int, *, limit: int) -> list[PlacedManifest]:
    """Return the next manifests in the order of their row ids, with their places."""
    rows = await reader.all(_MANIFESTS, last=last, limit=limit)
    firsts = await reader.all(_FIRST, ids=[row[0] for row in rows]) if rows else []
    places: dict[str, list[int]] = {row[0]: [] for row in firsts}
    for digest, repository in await reader.all(_SAME, digests=list(places)) if firsts else []:
        places[digest].append(repository)
    # What is taken here is gone for later ones of the same page.
    return [PlacedManifest(row[0], row[1], row[2], places.pop(row[3], ())) for row in rows]


async def repositories_of(reader: Reader, ids: Collection[int]) -> dict[int, tuple[int, str]]:
    """Return project and name of repositories, by their row ids."""
    return {row[0]: (row[1], row[2]) for row in await reader.all(_REPOSITORIES, ids=list(ids))} if ids else {}


async def part(reader: Reader, analysis: int, kind: str, subject: int) -> dict[str, int] | None:
    """Return the sums that an analysis found of one project or repository."""
    row = await reader.one(_PART, analysis=analysis, kind=kind, subject=subject)
    return None if row is None else dict(zip(SUMS, map(int, row), strict=True))
