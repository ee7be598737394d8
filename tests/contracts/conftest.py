"""The databases that contracts run over."""

from tests.support.database_fixtures import database, postgres

__all__ = ["database", "postgres"]
