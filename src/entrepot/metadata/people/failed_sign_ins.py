"""Failed sign-ins, counted by account and network, and the networks from which accounts have signed in.

The counts are shared by all workers, and are lost without harm. What an account and a network are called is the
caller's affair: `access.passwords.throttle` counts wider groups under names of their own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import bindparam, case, delete, select

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query, in_list
from entrepot.metadata.work_tables import failed_sign_ins, sign_in_places

_F = failed_sign_ins.c
_P = sign_in_places.c


@dataclass(frozen=True, slots=True)
class Failures:
    """How many there were, and when the last one was (microseconds since the epoch)."""

    count: int
    last_at: int


_READ = Query(
    select(_F.account, _F.network, _F.count, _F.last_at).where(
        in_list(_F.account, "accounts"), in_list(_F.network, "networks"), _F.last_at > bindparam("since")
    ),
    "failed_sign_ins.read",
)
_ADD = Query(
    lambda d: (
        d.insert(failed_sign_ins)
        .values(account=bindparam("account"), network=bindparam("network"), count=1, last_at=bindparam("at"))
        .on_conflict_do_update(
            index_elements=[_F.account, _F.network],
            set_={"count": case((_F.last_at > bindparam("since"), _F.count + 1), else_=1), "last_at": bindparam("at")},
        )
    ),
    "failed_sign_ins.add",
)
_REMOVE = Query(
    delete(failed_sign_ins).where(_F.account == bindparam("account"), _F.network == bindparam("network")),
    "failed_sign_ins.remove",
)
_REMOVE_OLD = Query(delete(failed_sign_ins).where(_F.last_at <= bindparam("before")), "failed_sign_ins.remove_old")
_PLACE = Query(
    select(_P.last_at).where(_P.account == bindparam("account"), _P.network == bindparam("network")),
    "sign_in_places.find",
)
_NOTE_PLACE = Query(
    lambda d: (
        d.insert(sign_in_places)
        .values(account=bindparam("account"), network=bindparam("network"), last_at=bindparam("at"))
        .on_conflict_do_update(index_elements=[_P.account, _P.network], set_={"last_at": bindparam("at")})
    ),
    "sign_in_places.note",
)
_REMOVE_OLD_PLACES = Query(delete(sign_in_places).where(_P.last_at <= bindparam("before")), "sign_in_places.remove_old")


async def read(
    reader: Reader, accounts: Collection[str], networks: Collection[str], *, since: int
) -> dict[tuple[str, str], Failures]:
    """Return the counts of every pair of an account and a network, of those that had a failure after `since`."""
    rows = await reader.all(_READ, accounts=accounts, networks=networks, since=since)
    return {(row[0], row[1]): Failures(row[2], row[3]) for row in rows}


async def add(tx: Transaction, account: str, network: str, *, at: int, since: int) -> None:
    """Count one more; anew, if the last one was not after `since`."""
    await tx.execute(_ADD, account=account, network=network, at=at, since=since)


async def remove(tx: Transaction, account: str, network: str) -> None:
    """Forget the failures of one account in one network."""
    await tx.execute(_REMOVE, account=account, network=network)


async def remove_old(tx: Transaction, *, failures_before: int, places_before: int) -> None:
    """Forget what no longer counts."""
    await tx.execute(_REMOVE_OLD, before=failures_before)
    await tx.execute(_REMOVE_OLD_PLACES, before=places_before)


async def last_success(reader: Reader, account: str, network: str) -> int | None:
    """Return when an account's sign-in from a network was last noted; None when it was not."""
    row = await reader.one(_PLACE, account=account, network=network)
    return None if row is None else int(row[0])


async def note_success(tx: Transaction, account: str, network: str, *, at: int) -> None:
    """Note that an account has signed in from a network."""
    await tx.execute(_NOTE_PLACE, account=account, network=network, at=at)
