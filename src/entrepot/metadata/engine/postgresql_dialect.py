"""PostgreSQL; apart from it, since SQLAlchemy's dialect would cost every start on SQLite 0.1 s."""

from collections.abc import Callable
from typing import Final

from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine.interfaces import Dialect as SqlDialect

from entrepot.metadata.dialect import Dialect

# SQLAlchemy leaves its dialects' constructors untyped.
_PostgresqlDialect: Final[Callable[..., SqlDialect]] = PGDialect_asyncpg

# This flavour writes the type beside each parameter, so that the server need not guess it.
POSTGRESQL: Final = Dialect("postgresql", _PostgresqlDialect(paramstyle="numeric_dollar"), postgresql.insert)
