"""Repository names, tags and references follow the specification's grammar."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, NameInvalid, TagInvalid
from entrepot.oci.reference import RepositoryName, Tag, parse_reference, sort_key

# As the distribution specification prints them.
SPEC_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
SPEC_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"

separators = st.sampled_from([".", "_", "__", "-", "---", "/"])
words = st.text(alphabet="ab09", min_size=1, max_size=4)
names = st.builds(
    lambda first, rest: first + "".join(map("".join, rest)), words, st.lists(st.tuples(separators, words), max_size=6)
)


@given(names)
def test_every_name_of_the_specification_is_taken(name: str) -> None:
    """What the specification's expression matches is a name, unchanged."""
    assert re.fullmatch(SPEC_NAME, name)
    assert RepositoryName.parse(name) == name
    assert isinstance(RepositoryName.parse(name), RepositoryName)


@given(st.text(alphabet="ab0A._-/%: \n\u00e9", max_size=12))
def test_names_are_exactly_those_of_the_specification(text: str) -> None:
    """The parser and the specification's expression agree on any text."""
    try:
        RepositoryName.parse(text)
    except NameInvalid:
        assert not re.fullmatch(SPEC_NAME, text, re.ASCII)
    else:
        assert re.fullmatch(SPEC_NAME, text, re.ASCII)


@pytest.mark.parametrize("name", ["a" * 255, "a/" * 127 + "a", "a---b", "a__b", "a.b_c", "0/1"])
def test_names_at_the_edge_are_taken(name: str) -> None:
    """The longest name and every separator are allowed."""
    assert RepositoryName.parse(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", "-a", "a-", "a b", "a\n", "a/../b", "a\x00", "\uff41"],
)
def test_malformed_names_are_refused(name: str) -> None:
    """Anything else is refused with the rule."""
    with pytest.raises(NameInvalid, match="use parts of lower-case"):
        RepositoryName.parse(name)


def test_a_name_longer_than_255_is_refused() -> None:
    """The message says how long it may be."""
    with pytest.raises(NameInvalid, match="256 characters, at most 255"):
        RepositoryName.parse("a" * 256)


@pytest.mark.parametrize("text", ["a-" * 127 + "!", "a__" * 85, "-" * 255, "a" * 254 + "_", "a_" * 10_000_000])
def test_hostile_names_cost_no_time(text: str) -> None:
    """No name makes the expression backtrack for long."""
    started = time.thread_time()
    with pytest.raises(NameInvalid):
        RepositoryName.parse(text)
    assert time.thread_time() - started < 0.05


@pytest.mark.parametrize(
    ("name", "project"), [("myapp", "library"), ("library/myapp", "library"), ("team/app", "team"), ("a/b/c", "a")]
)
def test_the_first_part_is_the_project(name: str, project: str) -> None:
    """A name of one part belongs to the default project."""
    assert RepositoryName.parse(name).project == project


@given(st.lists(names, max_size=20))
def test_the_sort_key_orders_part_by_part(listed: list[str]) -> None:
    """Bytewise order of the keys is the catalog's order: a repository, what is below it, then its longer neighbours."""
    by_key = sorted(listed, key=lambda name: sort_key(name).encode())
    assert by_key == sorted(listed, key=lambda name: [part.encode() for part in name.split("/")])


@given(names, names)
def test_the_sort_key_is_unique(one: str, other: str) -> None:
    """Two names share a key only when they are one."""
    assert (sort_key(one) == sort_key(other)) == (one == other)


@given(st.from_regex(re.compile(SPEC_TAG, re.ASCII), fullmatch=True))
def test_every_tag_of_the_specification_is_taken(tag: str) -> None:
    """What the specification's expression matches is a tag, and as a reference it is one too."""
    assert Tag.parse(tag) == tag
    assert isinstance(parse_reference(tag), Tag)


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a" * 129, "a/b", "a\n", "a b", "é", "..", "a%2f", "a:b", "a\x00"])
def test_malformed_tags_are_refused(tag: str) -> None:
    """Anything else is refused with the rule."""
    with pytest.raises(TagInvalid, match="1 to 128 letters"):
        Tag.parse(tag)


def test_a_reference_with_a_colon_is_a_digest() -> None:
    """A colon decides that a digest was meant, well-formed or not."""
    digest = Digest.of(b"")
    assert parse_reference(str(digest)) == digest
    with pytest.raises(DigestInvalid):
        parse_reference("sha256:baddigeststring")
    with pytest.raises(TagInvalid):
        parse_reference("no tag")
