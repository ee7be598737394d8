"""Sessions of browsers, by the hash of their cookie: whoever reads the database cannot use one."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, fields

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata.database import Reader, Row, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.work_tables import web_sessions


@dataclass(frozen=True, slots=True)
class WebSessionRecord:
    """One session; times are microseconds since the epoch."""

    hash: str = field(repr=False)
    principal_id: int
    epoch: int  #: of the account, when it signed in: a changed account ends the session
    csrf: str = field(repr=False)
    provider: str  #: what signed in: `local`, `ldap` or `oidc:NAME`
    provider_session: str | None = field(repr=False)
    address: str
    agent: str
    created_at: int
    seen_at: int


_NAMES = tuple(column.name for column in fields(WebSessionRecord))
_COLUMNS = tuple(web_sessions.c[name] for name in _NAMES)
_FIND = Query(select(*_COLUMNS).where(web_sessions.c.hash == bindparam("hash")), "web_sessions.find")
_ADD = Query(
    lambda d: d.insert(web_sessions).values({name: bindparam(name) for name in _NAMES}),
    "web_sessions.add",
)
_OF = Query(
    select(*_COLUMNS)
    .where(
        web_sessions.c.principal_id == bindparam("principal_id"),
        web_sessions.c.seen_at > bindparam("seen_after"),
        web_sessions.c.created_at > bindparam("created_after"),
    )
    .order_by(web_sessions.c.created_at.desc(), web_sessions.c.hash),
    "web_sessions.of_principal",
)
_TOUCH = Query(
    update(web_sessions)
    .where(web_sessions.c.hash == bindparam("session"), web_sessions.c.seen_at < bindparam("at"))
    .values(seen_at=bindparam("at")),
    "web_sessions.touch",
)
_REMOVE = Query(delete(web_sessions).where(web_sessions.c.hash == bindparam("hash")), "web_sessions.remove")
_REMOVE_OTHERS = Query(
    delete(web_sessions).where(
        web_sessions.c.principal_id == bindparam("principal_id"), web_sessions.c.hash != bindparam("but")
    ),
    "web_sessions.remove_others",
)
_REMOVE_IDLE = Query(delete(web_sessions).where(web_sessions.c.seen_at <= bindparam("at")), "web_sessions.remove_idle")
_REMOVE_OLDEST = Query(
    delete(web_sessions).where(
        web_sessions.c.principal_id == bindparam("principal_id"),
        web_sessions.c.hash.in_(
            select(web_sessions.c.hash)
            .where(web_sessions.c.principal_id == bindparam("principal_id"))
            .order_by(web_sessions.c.seen_at.desc(), web_sessions.c.hash)
            .limit(1000)
            .offset(bindparam("keep"))
        ),
    ),
    "web_sessions.remove_oldest",
)


def _record(row: Row) -> WebSessionRecord:
    return WebSessionRecord(*row)


async def find(reader: Reader, hashed: str) -> WebSessionRecord | None:
    """Return the session of a cookie's hash, also one whose time is over."""
    row = await reader.one(_FIND, hash=hashed)
    return None if row is None else _record(row)


async def of_principal(
    reader: Reader, principal_id: int, *, seen_after: int, created_after: int
) -> list[WebSessionRecord]:
    """Return the sessions of one account that are neither idle nor too old, newest first."""
    rows = await reader.all(_OF, principal_id=principal_id, seen_after=seen_after, created_after=created_after)
    return [_record(row) for row in rows]


async def add(tx: Transaction, session: WebSessionRecord, *, keep: int, idle_since: int) -> None:
    """Add a session; idle ones go, and of the account's others all but the `keep` last used."""
    await tx.execute(_REMOVE_IDLE, at=idle_since)
    await tx.execute(_ADD, **dict(zip(_NAMES, astuple(session), strict=True)))
    await tx.execute(_REMOVE_OLDEST, principal_id=session.principal_id, keep=keep)


async def touch(tx: Transaction, hashed: str, at: int) -> None:
    """Note when a session was last used."""
    await tx.execute(_TOUCH, session=hashed, at=at)


async def remove(tx: Transaction, hashed: str) -> bool:
    """Remove one session; False when there is none."""
    return await tx.execute(_REMOVE, hash=hashed) == 1


async def remove_others(tx: Transaction, principal_id: int, but: str) -> int:
    """Remove all sessions of an account but one; return how many."""
    return await tx.execute(_REMOVE_OTHERS, principal_id=principal_id, but=but)
