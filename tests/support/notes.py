"""Statements on the table `settings`, the simplest one, for tests of the databases themselves."""

from typing import Final

from sqlalchemy import bindparam, func, select

from entrepot.metadata.database import Transaction, Work
from entrepot.metadata.query import Query
from entrepot.metadata.tables import settings

PUT: Final = Query(lambda d: d.insert(settings).values(key=bindparam("key"), value=bindparam("value")), "put note")
GET: Final = Query(select(settings.c.value).where(settings.c.key == bindparam("key")), "get note")
KEYS: Final = Query(select(settings.c.key).order_by(settings.c.key), "list notes")
COUNT: Final = Query(select(func.count()).select_from(settings), "count notes")
DROP: Final = Query(settings.delete().where(settings.c.key == bindparam("key")), "drop note")


def putting(key: str, value: str = "") -> Work[int]:
    """Make the work of a transaction that adds one note."""

    async def work(transaction: Transaction) -> int:
        return await transaction.execute(PUT, key=key, value=value)

    return work


def dropping(key: str) -> Work[int]:
    """Make the work of a transaction that removes one note."""

    async def work(transaction: Transaction) -> int:
        return await transaction.execute(DROP, key=key)

    return work
