"""Patterns over names and tags: what fits, what cannot be read, and how long the worst of them takes."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.access.patterns import LONGEST, Pattern, PatternInvalid

FITS = [
    ("team/app", "team/app"),
    ("team/*", "team/app"),
    ("team/**", "team/app"),
    ("team/**", "team/app/deep/er"),
    ("team/**", "team"),
    ("**", "team/app"),
    ("**", "x"),
    ("**/app", "app"),
    ("**/app", "a/b/app"),
    ("a/**/b", "a/b"),
    ("a/**/b", "a/x/y/b"),
    ("{a,b}/*", "b/x"),
    ("{a/**,b}", "a/x/y"),
    ("{a/**,b}", "a"),
    ("{a,{b,c}}d", "cd"),
    ("v?.[0-9]", "v1.2"),
    ("[!a]x", "bx"),
    ("[^a]x", "bx"),
    ("release-*", "release-"),
    ("a**b", "axxb"),
    ("1.2.3", "1.2.3"),
    ("a,b", "a,b"),
    ("[a\\]x", "\\x"),
]
DOES_NOT_FIT = [
    ("team/app", "team/app2"),
    ("team/app", "xteam/app"),
    ("team/*", "team/a/b"),
    ("team/*", "team"),
    ("team/**", "team2/app"),
    ("team/**", "team2"),
    ("team/web**", "team/web/x"),
    ("**a", "b/a"),
    ("*", "a/b"),
    ("**/app", "a/happ"),
    ("a?b", "a/b"),
    ("[!a]", "/"),
    ("1.2.3", "1x2x3"),
    ("v1", "v1\n"),
    ("dev", "DEV"),
    ("a+", "aa"),
    ("(a)", "a"),
    ("^a$", "a"),
]


@pytest.mark.parametrize(("pattern", "name"), FITS)
def test_fits(pattern: str, name: str) -> None:
    """As doublestar reads it."""
    assert Pattern.parse(pattern).matches(name)


@pytest.mark.parametrize(("pattern", "name"), DOES_NOT_FIT)
def test_does_not_fit(pattern: str, name: str) -> None:
    """No pattern reaches further than it says; what means something to regular expressions means itself here."""
    assert not Pattern.parse(pattern).matches(name)


@pytest.mark.parametrize("text", ["", "{", "}", "{a", "a}", "}{", "{{a}", "[z-a]", "x" * (LONGEST + 1)])
def test_what_is_no_pattern(text: str) -> None:
    """It is told, and not taken for one that fits nothing or everything."""
    with pytest.raises(PatternInvalid):
        Pattern.parse(text)


@pytest.mark.parametrize(
    "pattern", ["*" * LONGEST, "*a" * 255 + "b", "**/" * 170, "{a,a}" * 100, "{" * 150 + "a*" + "}" * 150, "?*" * 200]
)
@pytest.mark.parametrize("name", ["a" * 10_000, "a/" * 5_000, "ab" * 5_000])
def test_cve_2023_0632_the_worst_patterns_take_little_time(pattern: str, name: str) -> None:
    """Ten thousand characters against what makes other matchers run for years: 50 ms, the reading included."""
    started = time.thread_time()
    Pattern.parse(pattern).matches(name)
    assert time.thread_time() - started < 0.05


def test_patterns_that_would_be_large_are_refused_in_time() -> None:
    """Nothing in the grammar repeats a part, so no pattern grows when it is read; a refusal comes at once."""
    started = time.thread_time()
    for text in ("{a,b}" * 102, "[a-z]" * 102, "{" * 512):
        try:
            Pattern.parse(text).matches("a" * 10_000)
        except PatternInvalid:
            continue
    assert time.thread_time() - started < 0.2


_names = st.from_regex(re.compile(r"[a-c]{1,3}(/[a-c]{1,3}){0,3}"), fullmatch=True)
_patterns = st.lists(
    st.sampled_from(["a", "b", "/", "*", "**", "?", "{a,b}", "[ab]", "**/", "/**"]), min_size=1, max_size=6
)


@given(name=_names)
def test_a_plain_pattern_fits_itself_alone(name: str) -> None:
    """A name is a pattern, too."""
    pattern = Pattern.parse(name)
    assert pattern.is_plain
    assert pattern.beginning == name
    assert pattern.matches(name)
    assert not pattern.matches(name + "a")


@given(parts=_patterns, name=_names)
def test_what_fits_begins_like_the_pattern(parts: list[str], name: str) -> None:
    """A list that is narrowed to the beginning loses nothing."""
    pattern = Pattern.parse("".join(parts))
    if pattern.matches(name):
        assert name.startswith(pattern.beginning)
        assert not pattern.is_plain or pattern.text == name


@given(parts=_patterns, name=_names)
def test_a_star_never_crosses_a_slash(parts: list[str], name: str) -> None:
    """Without `**` a pattern fits names of as many parts as it has itself."""
    text = "".join(parts)
    if "**" not in text and Pattern.parse(text).matches(name):
        assert text.count("/") == name.count("/")


@given(name=_names)
def test_double_star_fits_everything_below(name: str) -> None:
    """`name/**` fits the name and whatever lies below it."""
    below = Pattern.parse(f"{name}/**")
    assert below.matches(name)
    assert below.matches(f"{name}/x")
    assert below.matches(f"{name}/x/y")
    assert not below.matches(f"{name}x")
