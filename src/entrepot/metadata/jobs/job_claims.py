"""Runs of jobs as workers see them: which are due, who does which, how far they are, how they ended.

Whoever runs one holds a lease in its row, by the database's clock, and moves it forward with every beat. All that a
holder writes names it and the attempt it began, so that one which was taken for dead, and is not, changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, update

from entrepot.metadata import clock, clock_check
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.jobs.job_runs import Run, State, find
from entrepot.metadata.query import Query
from entrepot.metadata.tables import job_pauses, job_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That a worker runs an attempt of a run."""

    run: int
    holder: str
    attempt: int


_R = job_runs.c
_other = job_runs.alias("other")
#: No run is put off for longer, and none is held for as long.
_LATE_SECONDS = 3600.0
_FREE = or_(_R.state == State.PENDING.value, _R.lease_until <= bindparam("now"))
_BUSY = exists().where(
    _other.c.kind == _R.kind,
    _other.c.subject == _R.subject,
    _other.c.state == State.RUNNING.value,
    _other.c.id != _R.id,
)
_DUE = Query(
    select(_R.id)
    .where(
        _R.kind == bindparam("kind"),
        _R.ended_at.is_(None),
        _R.version <= bindparam("version"),
        _R.due_at <= bindparam("now"),
        _FREE,
        ~_BUSY,
        or_(_R.state != State.PENDING.value, ~exists().where(job_pauses.c.kind == _R.kind)),
    )
    .order_by(_R.due_at, _R.id)
    .limit(bindparam("most")),
    "job_claims.due",
)
_KINDS = Query(select(_R.kind).where(_R.ended_at.is_(None)).distinct(), "job_claims.kinds")
_CLAIM = Query(
    update(job_runs)
    .where(_R.id == bindparam("run"), _R.ended_at.is_(None), _R.due_at <= bindparam("now"), _FREE)
    .values(
        state=State.RUNNING.value,
        holder=bindparam("me"),
        lease_until=bindparam("until"),
        attempt=_R.attempt + 1,
        started_at=func.coalesce(_R.started_at, bindparam("now")),
        updated_at=bindparam("now"),
    ),
    "job_claims.claim",
)
_PULL_DUE = Query(
    update(job_runs).where(_R.ended_at.is_(None), _R.due_at > bindparam("late")).values(due_at=bindparam("now")),
    "job_claims.pull_due",
)
_PULL_LEASE = Query(
    update(job_runs)
    .where(_R.ended_at.is_(None), _R.state == State.RUNNING.value, _R.lease_until > bindparam("late"))
    .values(lease_until=bindparam("now")),
    "job_claims.pull_lease",
)
_OURS = and_(
    _R.id == bindparam("run"),
    _R.state == State.RUNNING.value,
    _R.holder == bindparam("me"),
    _R.attempt == bindparam("mine"),
)
_BEAT = Query(
    update(job_runs)
    .where(_OURS)
    .values(
        lease_until=bindparam("until"), done=bindparam("is_done"), total=bindparam("of"), updated_at=bindparam("now")
    ),
    "job_claims.beat",
)
_STOP_AT = Query(select(_R.stop_at).where(_OURS), "job_claims.stop_at")
_END = Query(
    update(job_runs)
    .where(_OURS)
    .values(
        state=bindparam("how"),
        result=bindparam("its_result"),
        error=bindparam("its_error"),
        done=bindparam("is_done"),
        total=bindparam("of"),
        holder=None,
        lease_until=None,
        updated_at=bindparam("now"),
        ended_at=bindparam("now"),
    ),
    "job_claims.end",
)
_AGAIN = Query(
    update(job_runs)
    .where(_OURS)
    .values(
        state=State.PENDING.value,
        error=bindparam("its_error"),
        due_at=bindparam("due"),
        attempt=bindparam("attempts"),
        holder=None,
        lease_until=None,
        updated_at=bindparam("now"),
    ),
    "job_claims.again",
)
_RENEW = Query(update(job_runs).where(_OURS).values(version=bindparam("its_version")), "job_claims.renew")
_ABANDON = Query(
    update(job_runs)
    .where(
        _R.kind == bindparam("its_kind"),
        _R.ended_at.is_(None),
        _R.version > bindparam("newest"),
        _R.created_at <= bindparam("before"),
        _FREE,
    )
    .values(
        state=State.FAILED.value,
        error=bindparam("its_error"),
        holder=None,
        lease_until=None,
        updated_at=bindparam("now"),
        ended_at=bindparam("now"),
    ),
    "job_claims.abandon",
)
_KEPT_FROM = Query(
    select(_R.id).where(_R.kind == bindparam("kind")).order_by(_R.id.desc()).limit(1).offset(bindparam("kept")),
    "job_claims.kept_from",
)
_OLD = (
    select(_R.id)
    .where(
        _R.kind == bindparam("its_kind"),
        _R.ended_at.is_not(None),
        or_(_R.id <= bindparam("last"), _R.ended_at < bindparam("before")),
    )
    .order_by(_R.id)
    .limit(bindparam("most"))
)
_FORGET = Query(delete(job_runs).where(_R.id.in_(_OLD)), "job_claims.forget")
#: Runs that one transaction forgets at most.
_FORGOTTEN_AT_ONCE = 200


async def active_kinds(reader: Reader) -> set[str]:
    """Return the kinds of which a run has not ended."""
    return {str(row[0]) for row in await reader.all(_KINDS)}


async def due(reader: Reader, kind: str, version: int, limit: int) -> list[int]:
    """Return runs of a kind, up to a version of it, that may begin now: none beside a running one of its subject."""
    now = await reader.now()
    return [int(row[0]) for row in await reader.all(_DUE, kind=kind, version=version, now=now, most=limit)]


async def claim(tx: Transaction, run: int, holder: str, *, seconds: float) -> Run | None:
    """Begin an attempt of a run and hold it for so long; None when somebody else was faster.

    Raises:
        ConstraintViolated: Another run of its kind and subject is running.
    """
    now = await tx.now()
    if not await tx.execute(_CLAIM, run=run, me=holder, now=now, until=clock.later(now, seconds)):
        return None
    return await find(tx, run)


async def beat(tx: Transaction, claim: Claim, *, done: int, total: int | None, seconds: float) -> bool:
    """Note how far a run is and hold it for so long again; False when it is not ours any more."""
    now = await tx.now()
    until = clock.later(now, seconds)
    changed = await tx.execute(_BEAT, **_named(claim), is_done=done, of=total, until=until, now=now)
    return changed == 1


async def is_to_stop(reader: Reader, claim: Claim) -> bool | None:
    """Tell whether somebody asked a run to end; None when it is not ours any more."""
    row = await reader.one(_STOP_AT, **_named(claim))
    return None if row is None else row[0] is not None


async def end(
    tx: Transaction, claim: Claim, state: State, *, done: int, total: int | None, result: Any, error: str | None
) -> bool:
    """Note how a run ended; False when it is not ours any more."""
    encoded = None if result is None else json.dumps(result, ensure_ascii=False)
    changed = await tx.execute(
        _END,
        **_named(claim),
        how=state.value,
        its_result=encoded,
        its_error=error,
        is_done=done,
        of=total,
        now=clock.now(),
    )
    return changed == 1


async def again(tx: Transaction, claim: Claim, *, error: str | None, due_at: int, attempts: int) -> bool:
    """Let a run be begun anew from `due_at` on, as if begun `attempts` times; False when it is not ours any more."""
    changed = await tx.execute(_AGAIN, **_named(claim), its_error=error, due=due_at, attempts=attempts, now=clock.now())
    return changed == 1


async def renew(tx: Transaction, claim: Claim, version: int) -> bool:
    """Go on with a run as one of another version of its kind; False when it is not ours any more."""
    return await tx.execute(_RENEW, **_named(claim), its_version=version) == 1


async def abandon(tx: Transaction, kind: str, *, newer_than: int, before: int, error: str) -> int:
    """End runs of a kind and of later versions of it that nobody runs, asked for before a time; returns how many."""
    now = await tx.now()
    return await tx.execute(_ABANDON, its_kind=kind, newest=newer_than, before=before, its_error=error, now=now)


async def pull_back(tx: Transaction) -> None:
    """Let nothing wait for a time that a wrong clock told: runs that are due late may begin, and be taken up, now."""
    now = await tx.now()
    late = clock.later(now, _LATE_SECONDS)
    await tx.execute(_PULL_DUE, now=now, late=late)
    await tx.execute(_PULL_LEASE, now=now, late=late)


async def forget(tx: Transaction, kind: str, *, kept: int, before: int) -> int:
    """Forget ended runs of a kind but the latest, and those that ended before a time; returns how many, bounded.

    While the clock is in doubt none are.
    """
    if await clock_check.reason(tx) is not None:
        return 0
    row = await tx.one(_KEPT_FROM, kind=kind, kept=kept)
    last = 0 if row is None else row[0]
    return await tx.execute(_FORGET, its_kind=kind, last=last, before=before, most=_FORGOTTEN_AT_ONCE)


def _named(claim: Claim) -> dict[str, object]:
    return {"run": claim.run, "me": claim.holder, "mine": claim.attempt}
