"""Statements are compiled once per dialect and check what they are given."""

import pytest
from sqlalchemy import bindparam, func, select

from entrepot.metadata.dialect import SQLITE, Dialect
from entrepot.metadata.engine.postgresql_dialect import POSTGRESQL
from entrepot.metadata.query import Query, RawQuery, in_list
from entrepot.metadata.tables import tags

FIND = Query(select(tags.c.name).where(tags.c.id == bindparam("tag")), "find tag")
SOME = Query(
    select(tags.c.name).where(in_list(tags.c.name, "names"), in_list(tags.c.id, "ids"), tags.c.created_at > 5),
    "some tags",
)


def test_a_statement_is_compiled_once() -> None:
    """The builder runs at the first use of a dialect, and never again."""
    built: list[str] = []

    def build(dialect: Dialect):  # noqa: ANN202 - any statement
        built.append(dialect.name)
        return select(func.count()).select_from(tags)

    query = Query(build)
    assert query.compiled(SQLITE) is query.compiled(SQLITE)
    assert query.compiled(POSTGRESQL) is query.compiled(POSTGRESQL)
    assert built == ["sqlite", "postgresql"]


def test_each_dialect_gets_its_own_text() -> None:
    """SQLite takes named parameters, PostgreSQL numbered ones with their types."""
    texts = [" ".join(FIND.compiled(dialect).text.split()) for dialect in (SQLITE, POSTGRESQL)]
    assert texts == [
        "SELECT tags.name FROM tags WHERE tags.id = :tag",
        "SELECT tags.name FROM tags WHERE tags.id = $1::BIGINT",
    ]


def test_parameters_of_a_plain_statement_are_not_copied() -> None:
    """The hot path hands the caller's own mapping to the driver."""
    parameters = {"tag": 1}
    assert FIND.compiled(SQLITE).named(parameters) is parameters


def test_lists_and_constants_find_their_places() -> None:
    """SQLite gets lists as JSON and constants by name, PostgreSQL gets both in the order of the text."""
    sqlite, postgresql = SOME.compiled(SQLITE), SOME.compiled(POSTGRESQL)
    assert sqlite.named({"names": ["a", 'q"'], "ids": (1, 2)}) == {
        "names": '["a", "q\\""]',
        "ids": "[1, 2]",
        "created_at_1": 5,
    }
    assert postgresql.positional({"ids": (1, 2), "names": {"a"}}) == [["a"], [1, 2], 5]


@pytest.mark.parametrize("parameters", [{}, {"tag": 1, "more": 2}, {"tga": 1}])
def test_wrong_parameters_are_named(parameters: dict[str, object]) -> None:
    """The error says which statement and which parameters."""
    with pytest.raises(TypeError, match=r"find tag.*missing.*surplus"):
        FIND.compiled(POSTGRESQL).positional(parameters)


@pytest.mark.parametrize("value", ["text", b"bytes", 5, None])
def test_a_list_parameter_wants_a_list(value: object) -> None:
    """A single text is not taken for the list of its characters."""
    with pytest.raises(TypeError, match="list parameter"):
        SOME.compiled(SQLITE).named({"names": value, "ids": []})


def test_raw_text_is_left_alone() -> None:
    """A raw statement is the same for both dialects, colons and all."""
    query = RawQuery("SELECT ':not a parameter'")
    assert query.compiled(SQLITE).text == query.compiled(POSTGRESQL).text == "SELECT ':not a parameter'"


def test_a_query_shows_its_name() -> None:
    """A statement is known by its name in logs and test reports."""
    assert repr(FIND) == "Query('find tag')"
