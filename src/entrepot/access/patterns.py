"""Patterns over repository names and tags (doublestar), matched in time linear in the text.

`*` stands for anything but "/", `**` as a whole part for any number of parts, also none (`team/**` fits `team`), `?`
for one character but "/", `{a,b}` for one of several, `[a-z]` for one of a set. Compiled for RE2, which has no
catastrophic patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

#: A pattern longer than this is a mistake or an attack.
LONGEST = 512
_SPECIAL = re.compile(r"[*?\[{}]")
#: `**` counts as a whole part only; elsewhere it is a `*`.
_TOKEN = re.compile(
    r"(?P<below>/\*\*(?=[,}]|\Z))|(?P<parts>(?<![^/{,])\*\*/)|(?P<all>(?<![^/{,])\*\*(?=[,}]|\Z))|(?P<some>\*+)"
    r"|(?P<one>\?)|(?P<set>\[[^\]/\[]+\])|(?P<brace>[{},])|(?P<plain>.)",
    re.DOTALL,
)


class PatternInvalid(ValueError):
    """The text is not a pattern."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that was read without fault."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern.

        Raises:
            PatternInvalid: Empty, too long, or with braces that do not close.
        """
        _compiled(text)
        return cls(text)

    @property
    def beginning(self) -> str:
        """What every name that fits begins with; the whole name where `is_plain`."""
        found = _SPECIAL.split(self.text, maxsplit=1)[0]
        return found.removesuffix("/") if self.text.startswith("**", len(found)) else found

    @property
    def is_plain(self) -> bool:
        """Tell whether only one name fits, the text itself."""
        return self.beginning == self.text

    def matches(self, name: str) -> bool:
        """Tell whether the whole name fits."""
        return bool(_compiled(self.text).fullmatch(name))


class Patterns:
    """Many patterns at once: each name is looked at once, however many there are."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take patterns that were read without fault; the same one counts once."""
        self._set = re2.Set.FullMatchSet()
        self._bits: dict[str, int] = {text: 1 << self._set.Add(_translated(text)) for text in dict.fromkeys(patterns)}
        self._set.Compile()

    def bit(self, text: str) -> int:
        """Return the bit that stands for one of the patterns in what `matching` returns."""
        return self._bits[text]

    def matching(self, name: str) -> int:
        """Return which patterns the whole name fits, one bit for each."""
        numbers: list[int] = self._set.Match(name) or []
        found = 0
        for number in numbers:
            found |= 1 << number
        return found


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Any:
    if not 0 < len(text) <= LONGEST:
        raise PatternInvalid(f"a pattern has 1 to {LONGEST} characters, this one {len(text)}")
    try:
        return re2.compile(_translated(text))
    except re2.error:
        raise PatternInvalid(f"{text!r} is not a pattern") from None


def _translated(text: str) -> str:
    depth = 0
    parts: list[str] = []
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth < 0:
            break
        parts.append(_one(token, inside=depth > 0))
    if depth:
        raise PatternInvalid(f"the braces of {text!r} do not match")
    return "".join(parts)


_FIXED = {"below": "(?:/.*)?", "parts": "(?:[^/]*/)*", "all": ".*", "some": "[^/]*", "one": "[^/]"}
_BRACES = {"{": "(?:", "}": ")"}


def _one(token: re.Match[str], *, inside: bool) -> str:
    kind, part = token.lastgroup or "", token[0]
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == "brace":
        return _BRACES.get(part, "|" if inside else ",")
    if kind == "set":
        negated = part[1] in "!^"
        members = part[2:-1] if negated else part[1:-1]
        return f"[{'^/' if negated else ''}{_set(members)}]"
    return re.escape(part)


def _set(members: str) -> str:
    return members.replace("\\", "\\\\").replace("^", "\\^")
