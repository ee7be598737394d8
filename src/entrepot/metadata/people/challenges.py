"""What security keys have been asked to sign, by its hash: whoever reads the database cannot answer for anybody."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import bindparam, delete, select

from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import challenges


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRecord:
    """One challenge."""

    hash: str
    purpose: str
    principal_id: int
    epoch: int  #: of the account, when it was asked
    place: str  #: what it was asked in: a session, a sign-in
    expires_at: int  #: microseconds since the epoch


_NAMES = ("hash", "purpose", "principal_id", "epoch", "place", "expires_at")
_ADD = Query(
    lambda d: d.insert(challenges).values({name: bindparam(name) for name in _NAMES}),
    "challenges.add",
)
_COLUMNS = tuple(challenges.c[name] for name in _NAMES)
_FIND = Query(select(*_COLUMNS).where(challenges.c.hash == bindparam("hash")), "challenges.find")
_REMOVE = Query(delete(challenges).where(challenges.c.hash == bindparam("hash")), "challenges.remove")
_REMOVE_OLD = Query(delete(challenges).where(challenges.c.expires_at <= bindparam("at")), "challenges.remove_old")
_REMOVE_OLDEST = Query(
    delete(challenges).where(
        challenges.c.principal_id == bindparam("principal_id"),
        challenges.c.hash.in_(
            select(challenges.c.hash)
            .where(challenges.c.principal_id == bindparam("principal_id"))
            .order_by(challenges.c.expires_at.desc(), challenges.c.hash)
            .limit(1000)
            .offset(bindparam("keep"))
        ),
    ),
    "challenges.remove_oldest",
)


async def add(tx: Transaction, challenge: ChallengeRecord, *, keep: int, now: int) -> None:
    """Keep a challenge; those whose time is over go, and of the account's others all but the `keep` newest."""
    await tx.execute(_REMOVE_OLD, at=now)
    await tx.execute(_ADD, **asdict(challenge))
    await tx.execute(_REMOVE_OLDEST, principal_id=challenge.principal_id, keep=keep)


async def take(tx: Transaction, hashed: str) -> ChallengeRecord | None:
    """Use a challenge up; None when there is none, or somebody was quicker."""
    row = await tx.one(_FIND, hash=hashed)
    if row is None or await tx.execute(_REMOVE, hash=hashed) != 1:
        return None
    return ChallengeRecord(**dict(zip(_NAMES, row, strict=True)))
