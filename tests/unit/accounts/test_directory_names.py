"""Distinguished names are compared as directories compare them, and nobody's name can be more than a value in one."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from entrepot.accounts.directory.names import DnInvalid, escape_value, first_value, fold_dn, is_below

BASE = "ou=people,dc=example,dc=org"


@pytest.mark.parametrize(
    "text",
    [
        "uid=alice,ou=people,dc=example,dc=org",
        "UID=Alice,OU=People,DC=Example,DC=Org",
        "uid = alice , ou=people,dc=example,  dc=org",
        "uid=alice;ou=people;dc=example;dc=org",
        r"uid=\61lice,ou=people,dc=example,dc=org",
    ],
)
def test_spellings_of_one_name(text: str) -> None:
    """Case, spaces between the parts, old separators and needless escapes do not count."""
    assert fold_dn(text) == "uid=alice,ou=people,dc=example,dc=org"


@pytest.mark.parametrize(
    ("text", "folded", "value"),
    [
        (r"cn=Doe\, Jane,dc=a", r"cn=doe\, jane,dc=a", "Doe, Jane"),
        (r"cn=M\C3\BCller,dc=a", "cn=müller,dc=a", "Müller"),
        ("cn=Müller,dc=a", "cn=müller,dc=a", "Müller"),
        ("CN=Bob (the) *Builder,DC=a", "cn=bob (the) *builder,dc=a", "Bob (the) *Builder"),
        (r"cn=a\\b,dc=a", r"cn=a\\b,dc=a", r"a\b"),
        (r"cn=a\+b+uid=x,dc=a", r"cn=a\+b+uid=x,dc=a", "a+b"),
        ("uid=x+cn=y,dc=a", "cn=y+uid=x,dc=a", "x"),
        (r"cn=\#1,dc=a", r"cn=\#1,dc=a", "#1"),
        ("cn=two  blanks,dc=a", "cn=two blanks,dc=a", "two  blanks"),
        (r"cn=end\ ,dc=a", "cn=end,dc=a", "end "),
    ],
)
def test_escapes(text: str, folded: str, value: str) -> None:
    """Escaped separators belong to the value, and folding twice changes nothing."""
    assert fold_dn(text) == folded
    assert fold_dn(folded) == folded
    assert first_value(text) == value


@pytest.mark.parametrize("text", ["alice", "alice@example.org", "=x", "cn=a,b", "cn=a,,dc=b", "EXAMPLE\\alice"])
def test_what_is_no_dn(text: str) -> None:
    """The message shows what one looks like."""
    with pytest.raises(DnInvalid, match="cn=devs"):
        fold_dn(text)


def test_below() -> None:
    """A name is below its base, and not below one that it only ends like."""
    assert is_below(f"uid=alice,{BASE}", BASE)
    assert is_below(BASE, BASE)
    assert is_below(BASE, "")
    assert not is_below(f"uid=alice,x{BASE}", BASE)
    assert not is_below("dc=example,dc=org", BASE)


@given(st.text(min_size=1, max_size=40))
@example("ends with a backslash\\")
def test_any_value_stays_one_value(value: str) -> None:
    """Whatever somebody is called, it comes back as the one value of the first part, below the same base."""
    text = f"uid={escape_value(value)},{BASE}"
    assert first_value(text) == value
    folded = fold_dn(text)
    assert folded.endswith(f",{BASE}")
    assert folded.count("uid=") >= 1
    assert fold_dn(folded) == folded
    assert len(re.findall(r"(?:[^\\,]|\\.)+", folded, re.DOTALL)) == 4
