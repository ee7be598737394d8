"""What all tables share, the version of the schema and the settings."""

from typing import Final

from sqlalchemy import MetaData, Table

from entrepot.metadata.columns import NAMES, WHOLE, key, keyed, number, words

metadata: Final = MetaData(naming_convention=NAMES)

#: One row. A program may read when its own version is at least `min_reader`, and write from `min_writer` on.
schema: Final = Table(
    "schema", metadata, key("version", WHOLE), number("min_reader"), number("min_writer"), sqlite_strict=True
)

#: How many transactions have changed something (`metadata.changes`); counted by triggers on PostgreSQL.
changes: Final = keyed("changes", metadata, key("name"), number("number", default=0))

settings: Final = keyed("settings", metadata, key("key"), words("value"))
