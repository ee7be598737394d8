"""YAML as registry:2 reads it: text stays text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.config.document import Plain, parse_document
from entrepot.config.errors import DocumentInvalid


@pytest.mark.parametrize("text", ["0123", "1:30", "yes", "5000", "0.10", "2001-01-01", "1_000", ":5000", "168h"])
def test_a_plain_scalar_keeps_its_spelling(text: str) -> None:
    """What looks like a number, a time or a flag stays as written until its field is known."""
    root = parse_document(f"key: {text}").root
    assert root == {"key": text}
    assert isinstance(root, dict)
    assert isinstance(root["key"], Plain)


@pytest.mark.parametrize("written", ["'5000'", '"5000"', "!!str 5000", "|-\n  5000"])
def test_a_quoted_scalar_is_text_for_good(written: str) -> None:
    """Quotes, a block and the tag !!str say that a value is text."""
    root = parse_document(f"key: {written}").root
    assert root == {"key": "5000"}
    assert isinstance(root, dict)
    assert not isinstance(root["key"], Plain)


@pytest.mark.parametrize("written", ["", "~", "null", "NULL"])
def test_an_absent_value_is_none(written: str) -> None:
    """A key with nothing after it has no value."""
    assert parse_document(f"key: {written}").root == {"key": None}


def test_anchors_and_merges_are_resolved() -> None:
    """An alias stands for what it names, and a merged map is outweighed by the keys beside it."""
    text = "base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}\nsame: *base\n"
    document = parse_document(text)
    assert document.root == {
        "base": {"a": "1", "b": "2"},
        "other": {"a": "1", "b": "3"},
        "same": {"a": "1", "b": "2"},
    }
    assert document.warnings == ()


def test_a_key_given_twice_is_told() -> None:
    """The last one counts, as in Go, and the operator learns of it."""
    document = parse_document("a: 1\nb: 2\na: 3\n")
    assert document.root == {"a": "3", "b": "2"}
    assert document.warnings == ("line 3: 'a' is given twice in one section; the last one counts",)


def test_only_the_first_document_counts() -> None:
    """As in Go; but half a file is not lost in silence."""
    document = parse_document("a: 1\n---\nb: 2\n")
    assert document.root == {"a": "1"}
    assert "only the first YAML document" in document.warnings[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1", "line 1"),
        ("a: b: c", "mapping values"),
        ("a: &x [*x]", "an alias contains itself"),
        ("? [a, b]\n: c", "a key must be a single word"),
        ("a: \x00", "a character that YAML does not allow"),
        ("[" * 600, "nested too deeply"),
    ],
)
def test_what_is_not_yaml_is_refused_with_a_reason(text: str, reason: str) -> None:
    """The reason names the place or the fault."""
    with pytest.raises(DocumentInvalid, match=reason):
        parse_document(text)


@pytest.mark.parametrize(
    "text", ["password: *hunter2", "password: @hunter2", "password: 'hunter2", "password: !<hunter2"]
)
def test_a_refusal_never_quotes_a_value(text: str) -> None:
    """What stands where YAML breaks may be a secret."""
    with pytest.raises(DocumentInvalid) as caught:
        parse_document(text)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_document_or_refused(text: str) -> None:
    """No text breaks the reader in another way than by its own error."""
    try:
        document = parse_document(text)
    except DocumentInvalid:
        return
    assert isinstance(document.root, dict | list | str | None)
