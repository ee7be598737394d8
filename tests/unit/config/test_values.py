"""Single values, from text and from Python."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from entrepot.config.document import Plain
from entrepot.config.values import MASK, Count, Duration, Flag, Text, hide_password, parse_integer, resolve


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("1_000", 1000),
        ("017", 15),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("08", None),
        ("1.0", None),
        ("", None),
        ("x", None),
        ("9" * 5000, None),
    ],
)
def test_integers_are_spelled_as_in_go(text: str, number: int | None) -> None:
    """Octal, hexadecimal and binary as in YAML 1.1; what is none, or absurdly long, is no integer."""
    assert parse_integer(text) == number


@given(st.integers(-(10**30), 10**30))
def test_decimal_integers_are_read_back(number: int) -> None:
    """Of whatever size."""
    assert parse_integer(str(number)) == number


@pytest.mark.parametrize("text", ["1e999", "-1E400"])
def test_a_number_that_no_float_holds_is_refused(text: str) -> None:
    """Rather than be an infinity."""
    with pytest.raises(PydanticCustomError, match="must not be a number as large"):
        resolve({"given": [Plain(text)]})


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (Plain("true"), True),
        (Plain("Off"), False),
        (Plain("12"), 12),
        (Plain("1.5"), 1.5),
        (Plain("1e3"), 1000.0),
        (Plain("text"), "text"),
        ("12", "12"),
        ("true", "true"),
        (None, None),
        ([Plain("1"), "1", {"a": Plain("no")}], [1, "1", {"a": False}]),
    ],
)
def test_values_of_no_known_type_mean_what_yaml_says(value: object, meaning: object) -> None:
    """Unquoted ones may be flags and numbers; quoted ones are text."""
    resolved = resolve(value)
    assert resolved == meaning
    assert type(resolved) is type(meaning)


@pytest.mark.parametrize("kind", [Flag, Count, Duration, Text])
@pytest.mark.parametrize("value", [[], {}, object()])
def test_no_kind_takes_a_list_or_a_map(kind: object, value: object) -> None:
    """A single value is a single value."""
    with pytest.raises(ValidationError, match="must be"):
        TypeAdapter(kind).validate_python(value)


def test_a_flag_is_no_number() -> None:
    """Though Python thinks so."""
    for kind in (Count, Duration):
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(True)  # noqa: FBT003 - the value under test


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@example.org/x?y=z", f"https://user:{MASK}@example.org/x?y=z"),
        ("https://user@example.org/", "https://user@example.org/"),
        ("https://example.org:5000/a@b", "https://example.org:5000/a@b"),
        ("https://a:b@c:d@example.org/", f"https://a:{MASK}@example.org/"),
        ("https://user:secret@[half", MASK),
        ("", ""),
    ],
)
def test_a_password_in_a_url_is_masked(url: str, shown: str) -> None:
    """And a URL that nobody can read is masked as a whole, as it may hold one."""
    assert hide_password(url) == shown
