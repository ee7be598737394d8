"""Refresh tokens, kept as hashes: whoever reads the database cannot use one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, update

from entrepot.metadata import clock
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import refresh_tokens


@dataclass(frozen=True, slots=True)
class RefreshTokenRecord:
    """Whom a refresh token speaks for, and to which service."""

    principal_id: int
    subject: str
    service: str
    expires_at: int
    key_id: int | None  #: the API key that it was made with, if it was one


_FIND = Query(
    select(
        refresh_tokens.c.principal_id,
        refresh_tokens.c.subject,
        refresh_tokens.c.service,
        refresh_tokens.c.expires_at,
        refresh_tokens.c.key_id,
    ).where(refresh_tokens.c.token_hash == bindparam("token_hash"), refresh_tokens.c.expires_at > bindparam("at")),
    "refresh_tokens.find",
)
_ADD = Query(
    lambda d: d.insert(refresh_tokens).values(
        token_hash=bindparam("token_hash"),
        principal_id=bindparam("principal_id"),
        subject=bindparam("subject"),
        service=bindparam("service"),
        scopes=bindparam("scopes"),
        created_at=bindparam("created_at"),
        expires_at=bindparam("expires_at"),
        key_id=bindparam("key_id"),
    ),
    "refresh_tokens.add",
)
_REMOVE_OF = Query(
    delete(refresh_tokens).where(refresh_tokens.c.principal_id == bindparam("principal_id")),
    "refresh_tokens.remove_of",
)
_REMOVE_EXPIRED = Query(
    delete(refresh_tokens).where(refresh_tokens.c.expires_at <= bindparam("at")), "refresh_tokens.remove_expired"
)
#: A token that went meanwhile stays gone.
_PROLONG = Query(
    update(refresh_tokens)
    .where(refresh_tokens.c.token_hash == bindparam("wanted"), refresh_tokens.c.expires_at < bindparam("until"))
    .values(expires_at=bindparam("until")),
    "refresh_tokens.prolong",
)
#: Keeps the tokens of an account that end last: a script that signs in for each pull must not fill the table.
_REMOVE_OLDEST = Query(
    delete(refresh_tokens).where(
        refresh_tokens.c.principal_id == bindparam("principal_id"),
        refresh_tokens.c.token_hash.in_(
            select(refresh_tokens.c.token_hash)
            .where(refresh_tokens.c.principal_id == bindparam("principal_id"))
            .order_by(refresh_tokens.c.expires_at.desc(), refresh_tokens.c.created_at.desc())
            .limit(1000)
            .offset(bindparam("keep"))
        ),
    ),
    "refresh_tokens.remove_oldest",
)


async def find(reader: Reader, token_hash: str) -> RefreshTokenRecord | None:
    """Return what is known of a token, unless it has expired."""
    row = await reader.one(_FIND, token_hash=token_hash, at=clock.now())
    return None if row is None else RefreshTokenRecord(*row)


async def add(
    tx: Transaction,
    token_hash: str,
    *,
    principal_id: int,
    subject: str,
    service: str,
    expires_at: int,
    keep: int,
    key_id: int | None = None,
) -> None:
    """Add a token; expired ones go, and of the account's others all but the `keep` that end last."""
    await tx.execute(_REMOVE_EXPIRED, at=clock.now())
    await tx.execute(
        _ADD,
        token_hash=token_hash,
        principal_id=principal_id,
        subject=subject,
        service=service,
        scopes="",
        created_at=clock.now(),
        expires_at=expires_at,
        key_id=key_id,
    )
    await tx.execute(_REMOVE_OLDEST, principal_id=principal_id, keep=keep)


async def prolong(tx: Transaction, *, token_hash: str, expires_at: int) -> None:
    """Let a token live on until then, if that is later than its end."""
    await tx.execute(_PROLONG, wanted=token_hash, until=expires_at)


async def remove_of(tx: Transaction, principal_id: int) -> None:
    """Remove all tokens of an account."""
    await tx.execute(_REMOVE_OF, principal_id=principal_id)
