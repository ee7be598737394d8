"""Harbor's little language for lists."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import column

from entrepot.access.faults import Invalid
from entrepot.metadata.filtering import Condition, Field, Kind, Match, Order
from entrepot.web.api.query import parse_query, parse_sort

FIELDS = {
    "name": Field(column("name")),
    "id": Field(column("id"), Kind.NUMBER),
    "made": Field(column("made"), Kind.TIME),
    "open": Field(column("open"), Kind.FLAG),
    "tag": Field(column("tag"), within=lambda found: found),
}
DAY = 86_400 * 1_000_000


def one(match: Match, *values: object, field: str = "name") -> Condition:
    """Return the condition that is expected."""
    return Condition(field=field, match=match, values=values)


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", []),
        ("name=a", [one(Match.EQUAL, "a")]),
        ("name=", [one(Match.EQUAL, "")]),
        ("name=a b", [one(Match.EQUAL, "a b")]),
        ('name="a,b"', [one(Match.EQUAL, "a,b")]),
        ("name='a=b'", [one(Match.EQUAL, "a=b")]),
        ("name=a=b", [one(Match.EQUAL, "a=b")]),
        ("name=~dev", [one(Match.CONTAINS, "dev")]),
        ('name=~"a,b"', [one(Match.CONTAINS, "a,b")]),
        ("name={a b}", [one(Match.ANY, "a", "b")]),
        ("name={'a b' c}", [one(Match.ANY, "a b", "c")]),
        ("name=(a b)", [one(Match.ALL, "a", "b")]),
        ("name=[a~b]", [one(Match.RANGE, "a", "b")]),
        ("id=7", [one(Match.EQUAL, 7, field="id")]),
        ("id=-7", [one(Match.EQUAL, -7, field="id")]),
        ("id=[1~]", [one(Match.RANGE, 1, None, field="id")]),
        ("id=[~9]", [one(Match.RANGE, None, 9, field="id")]),
        ("id={1 2}", [one(Match.ANY, 1, 2, field="id")]),
        ("open=true", [one(Match.EQUAL, 1, field="open")]),
        ("open=False", [one(Match.EQUAL, 0, field="open")]),
        ("made=1970-01-02", [one(Match.EQUAL, DAY, field="made")]),
        (
            'made=["1970-01-02 00:00:00"~"1970-01-03 00:00:00"]',
            [one(Match.RANGE, DAY, 2 * DAY, field="made")],
        ),
        ("made=[1970-01-02T00:00:00Z~]", [one(Match.RANGE, DAY, None, field="made")]),
        ("name=a, id=7", [one(Match.EQUAL, "a"), one(Match.EQUAL, 7, field="id")]),
        ("name={a,b}", [one(Match.ANY, "a,b")]),
        ("name=a,", [one(Match.EQUAL, "a")]),
    ],
)
def test_queries_are_read(text: str, conditions: list[Condition]) -> None:
    """Each form of a condition, alone and joined by commas."""
    assert list(parse_query(text, FIELDS)) == conditions


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "=a",
        "secret=1",
        "name.x=1",
        "id=x",
        "id=~1",
        "id=1.5",
        "id=99999999999999999999",
        "made=yesterday",
        "made=[~]",
        "open=perhaps",
        "name={}",
        "name=()",
        "name=[a]",
        "name=[a~b~c]",
        "a b=1",
        ",".join(["name=a"] * 11),
        "name={" + "x " * 101 + "}",
        "name=" + "a" * 4096,
    ],
)
def test_other_queries_are_refused(text: str) -> None:
    """Unknown fields, values of another kind, and what is of no form."""
    with pytest.raises(Invalid):
        parse_query(text, FIELDS)


def test_orders_are_read() -> None:
    """Names, with a minus where it goes downwards."""
    assert parse_sort("-name, id", FIELDS) == (Order("name", descending=True), Order("id"))
    assert parse_sort("", FIELDS) == ()


@pytest.mark.parametrize("text", ["secret", "tag", "name,-name", "--"])
def test_other_orders_are_refused(text: str) -> None:
    """Fields there are none of, or that one entry has several of, and one twice."""
    with pytest.raises(Invalid):
        parse_sort(text, FIELDS)


@given(st.text(max_size=300) | st.from_regex(r"(name|id|made)=[\[({]?.{0,100}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes of it."""
    try:
        found = parse_query(text, FIELDS)
    except Invalid:
        return
    assert {condition.field for condition in found} <= FIELDS.keys()


@pytest.mark.parametrize(
    "text", ["name=" + "[" * 4000, "name=" + "\"'" * 2000, "name=[" + "~" * 4000, "name=" + "," * 4000]
)
def test_odd_texts_cost_little(text: str) -> None:
    """No text within the limit takes long to refuse."""
    started = time.thread_time()
    with contextlib.suppress(Invalid):
        parse_query(text, FIELDS)
    assert time.thread_time() - started < 0.05


@pytest.mark.parametrize(
    ("text", "value"),
    [("name%3Da", "a"), ("name=a%2Bb", "a+b"), ("name=100%", "100%"), ("name=%zz", "%zz")],
)
def test_a_second_escaping_is_undone(text: str, value: str) -> None:
    """Harbor's command line and pages escape `q` twice, and Harbor takes that off; what is no escape stays."""
    assert parse_query(text, FIELDS) == (one(Match.EQUAL, value),)


def test_no_nul_comes_in_by_a_second_escaping() -> None:
    """The one character that PostgreSQL cannot be asked for is refused here, too."""
    with pytest.raises(Invalid, match="NUL"):
        parse_query("name=a%00b", FIELDS)
