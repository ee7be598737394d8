"""The databases that migrations run on."""

from tests.support.database_fixtures import database, postgres

__all__ = ["database", "postgres"]
