"""The databases that contracts run over."""

from tests.support.database_fixtures import database, every_database, older_postgres, pooler, postgres

__all__ = ["database", "every_database", "older_postgres", "pooler", "postgres"]
