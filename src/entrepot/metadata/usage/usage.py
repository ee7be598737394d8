"""What each project uses and may use: sums that are changed in the transaction that is the reason, and never drift.

`project_usage` holds the sums, and the limits beside them, so that one statement changes the one and answers with the
other. `charges` counts manifests and their blobs, `reservations` what no manifest refers to yet, and `usage_recount`
adds everything up from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, func, select

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.dialect import Dialect
from entrepot.metadata.query import Query
from entrepot.metadata.tables import (
    project_usage,
    projects,
    repositories,
)
from entrepot.metadata.trash_namespaces import listed

#: Charge models: a blob counts once for its project, or once for each manifest that refers to it.
SHARED: Final = "shared"
FULL: Final = "full"

_U = project_usage.c
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


async def change(tx: Transaction, project_id: int, by: Counts) -> Standing:
    """Add to what a project uses; return how it stands then."""
    counts = {name: getattr(by, name) for name in _COUNTS}
    return standing_of(await tx.one(_CHANGE, project=project_id, now=clock.now(), **counts))


async def set_limits(tx: Transaction, project_id: int, limits: Limits) -> Standing:
    """Say what a project may use; return how it stands."""
    values = {name: getattr(limits, name) for name in _LIMITS}
    return standing_of(await tx.one(_SET_LIMITS, project=project_id, now=clock.now(), **values))


async def repositories_up_to(reader: Reader, project_id: int, most: int) -> int:
    """Count the repositories of a project, those in the trash left out, up to `most`."""
    row = await reader.one(_REPOSITORIES, project=project_id, most=most)
    return 0 if row is None else int(row[0])
