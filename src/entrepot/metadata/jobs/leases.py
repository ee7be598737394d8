"""Leases: who may do a job now, and from when on anybody may.

A lease that ends later than any holder asks for is one that a wrong clock made: anybody may take it.

A row says: until `expires_at` nobody but `holder` may do the job `name`. While a job runs, its holder moves the time
forward; when it is done, the row belongs to nobody and the time is that of the next run. So several replicas share jobs
without speaking to each other, and a job whose holder died is taken up when the time has come. The times are the
database's (`Reader.now`), for the clocks of several hosts may differ.
"""

from __future__ import annotations

from sqlalchemy import and_, bindparam, or_, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import leases

_L = leases.c
_FREE = or_(_L.holder == bindparam("me"), _L.expires_at <= bindparam("now"), _L.expires_at > bindparam("beyond"))
_ADD = Query(
    lambda d: (
        d.insert(leases).values(name=bindparam("name"), holder="", expires_at=bindparam("at")).on_conflict_do_nothing()
    ),
    "leases.add",
)
_TAKE = Query(
    update(leases)
    .where(and_(_L.name == bindparam("lease"), _FREE))
    .values(holder=bindparam("me"), expires_at=bindparam("until")),
    "leases.take",
)
_RELEASE = Query(
    update(leases)
    .where(and_(_L.name == bindparam("lease"), _L.holder == bindparam("me")))
    .values(holder="", expires_at=bindparam("at")),
    "leases.release",
)

_HELD = Query(
    select(_L.name, _L.expires_at).where(_L.holder != bindparam("me"), _L.expires_at > bindparam("now")), "leases.held"
)

#: By so much more than that: the clock may have been corrected a little.
_MARGIN_SECONDS = 120.0
_NEVER = 2**63 - 1


async def held(reader: Reader, but: str) -> dict[str, int]:
    """Return which leases are not to be had now, and until when: another's, or of jobs that rest.

    It is only for those who would ask in vain: whoever finds a lease free has to take it.
    """
    return dict(await reader.all(_HELD, me=but, now=clock.now()))


def is_to_be_had(expires_at: int | None, longest: float) -> bool:
    """Tell whether a lease that was held until some time may be free now; as `take` decides."""
    now = clock.now()
    return expires_at is None or not now < expires_at <= clock.later(now, longest + _MARGIN_SECONDS)


async def take(tx: Transaction, name: str, holder: str, *, seconds: float, longest: float | None = None) -> bool:
    """Take a lease that is free or already ours, for so long; True when it is ours.

    `longest` is the most that anybody holds it for, or lets it rest; None where nobody knows.
    """
    now = await tx.now()
    beyond = _NEVER if longest is None else clock.later(now, longest + _MARGIN_SECONDS)
    await tx.execute(_ADD, name=name, at=now)
    until = clock.later(now, seconds)
    return await tx.execute(_TAKE, lease=name, me=holder, now=now, until=until, beyond=beyond) == 1


async def release(tx: Transaction, name: str, holder: str, *, again_in: float) -> None:
    """Give a lease back; nobody may take it before `again_in` seconds have passed."""
    await tx.execute(_RELEASE, lease=name, me=holder, at=clock.later(await tx.now(), again_in))
