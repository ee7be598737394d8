"""Transactions that look at something and then decide by it, one after another.

SQLite has one writer anyway. On PostgreSQL two transactions see nothing of each other before they are committed, so
each would find the last place free, or another administrator left. Where rows are at hand they are locked; where what
counts is that there is none, or how many there are, the transactions take turns by a name.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Executable, Text, bindparam, func, literal_column, select

from entrepot.metadata.database import Transaction
from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.query import Query


def _wait(dialect: Dialect) -> Executable:
    name: BindParameter[Any] = bindparam("name", type_=Text)
    if dialect is SQLITE:
        return select(name)
    return select(func.pg_advisory_xact_lock(func.hashtextextended(name, literal_column("0"))))


_WAIT = Query(_wait, "transaction_turns.wait")


async def in_turn(tx: Transaction, *names: str) -> None:
    """Wait for those who were quicker, and keep others waiting until this transaction ends.

    Names are taken in their order, so that two that ask for the same do not wait for each other for ever.
    """
    for name in sorted(names):
        await tx.one(_WAIT, name=name)
