"""The dialects by the name that a database gives its kind."""

from entrepot.metadata.dialect import SQLITE, Dialect


def dialect_named(name: str) -> Dialect:
    """Return the dialect of a database's kind."""
    if name == SQLITE.name:
        return SQLITE
    from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL  # noqa: PLC0415 - see there

    return POSTGRESQL
