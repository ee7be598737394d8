"""What people prove a second time: columns `totp` and `recovery` of `users`, sealed by the vault."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import bindparam, select, update

from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import users


@dataclass(frozen=True, slots=True)
class SecondFactorRecord:
    """The sealed texts of one person; None where nothing was set up."""

    totp: str | None = field(repr=False)
    recovery: str | None = field(repr=False)


_FIND = Query(
    select(users.c.totp, users.c.recovery).where(users.c.principal_id == bindparam("principal_id")),
    "second_factors.find",
)
_PUT = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"))
    .values(totp=bindparam("new_totp"), recovery=bindparam("new_recovery")),
    "second_factors.put",
)
_REPLACE_TOTP = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"), users.c.totp == bindparam("old"))
    .values(totp=bindparam("new")),
    "second_factors.replace_totp",
)
_REPLACE_RECOVERY = Query(
    update(users)
    .where(users.c.principal_id == bindparam("principal"), users.c.recovery == bindparam("old"))
    .values(recovery=bindparam("new")),
    "second_factors.replace_recovery",
)


async def find(reader: Reader, principal_id: int) -> SecondFactorRecord:
    """Return what a person has set up; nothing for whoever is no person."""
    row = await reader.one(_FIND, principal_id=principal_id)
    return SecondFactorRecord(None, None) if row is None else SecondFactorRecord(*row)


async def put(tx: Transaction, principal_id: int, record: SecondFactorRecord) -> bool:
    """Set both; False when there is no such person."""
    changed = await tx.execute(_PUT, principal=principal_id, new_totp=record.totp, new_recovery=record.recovery)
    return changed == 1


async def replace_totp(tx: Transaction, principal_id: int, *, old: str, new: str) -> bool:
    """Put another text in place of one; False when that is no longer there."""
    return await tx.execute(_REPLACE_TOTP, principal=principal_id, old=old, new=new) == 1


async def replace_recovery(tx: Transaction, principal_id: int, *, old: str, new: str) -> bool:
    """Put another text in place of one; False when that is no longer there."""
    return await tx.execute(_REPLACE_RECOVERY, principal=principal_id, old=old, new=new) == 1
