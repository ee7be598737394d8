"""Token scopes follow Docker's grammar; what is malformed is not granted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.scope import MAX_SCOPES, Scope, format_scopes, parse_scopes

scopes = st.builds(
    Scope,
    type=st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True),
    name=st.from_regex(r"[A-Za-z0-9._/*:-]{1,20}", fullmatch=True),
    actions=st.lists(st.sampled_from(["pull", "push", "delete", "*"]), unique=True).map(tuple),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("repository:a/b:pull,push", (Scope("repository", "a/b", ("pull", "push")),)),
        ("registry:catalog:*", (Scope("registry", "catalog", ("*",)),)),
        ("repository:host:5000/a:pull", (Scope("repository", "host:5000/a", ("pull",)),)),
        ("repository(plugin):a/b:pull", (Scope("repository", "a/b", ("pull",)),)),
        ("repository:a/b:", (Scope("repository", "a/b", ()),)),
        ("repository:a:pull,,pull", (Scope("repository", "a", ("pull",)),)),
        (
            "repository:a:pull  repository:b:push",
            (Scope("repository", "a", ("pull",)), Scope("repository", "b", ("push",))),
        ),
        ("repository:a:pull repository:a:push,pull", (Scope("repository", "a", ("pull", "push")),)),
    ],
)
def test_scopes_are_read(text: str, expected: tuple[Scope, ...]) -> None:
    """Split at the first and the last colon; one resource is one scope."""
    assert parse_scopes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "repository",
        "repository:a",
        ":a:pull",
        "repository::pull",
        "repository:a:PULL",
        'repository:a":pull',
        "repository:a\\:pull",
        "repository:a:pull\n",
        "repository:a\x00:pull",
        "repository(plug in):a:pull",
        "repository:é:pull",
        "repository:" + "a" * 1000 + ":pull",
    ],
)
def test_malformed_scopes_are_left_out(text: str) -> None:
    """Nothing is granted for them, and the others are not lost."""
    assert parse_scopes(f"{text} repository:good:pull") == (Scope("repository", "good", ("pull",)),)


@given(st.lists(scopes, max_size=5, unique_by=lambda scope: (scope.type, scope.name)))
def test_text_and_back(listed: list[Scope]) -> None:
    """What is written is read back in the same order."""
    assert parse_scopes(format_scopes(listed)) == tuple(listed)


@given(st.text() | st.text(alphabet='repository:a,*() "\\', max_size=60))
def test_any_text_is_read_and_safe_in_a_quoted_string(text: str) -> None:
    """What comes out never needs escaping in a challenge header."""
    written = format_scopes(parse_scopes(text))
    assert written.isascii()
    assert not set(written) & set('"\\\r\n\x00')


def test_the_number_of_scopes_is_bounded() -> None:
    """A request for a million resources is cut."""
    asked = " ".join(f"repository:r{number}:pull" for number in range(MAX_SCOPES + 50))
    assert len(parse_scopes(asked)) == MAX_SCOPES
