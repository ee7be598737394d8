"""Patterns over repository names and tags (doublestar), matched in time linear in the text.

`*` stands for anything but "/", `**` as a whole part for any number of parts, `?` for one character but "/", `{a,b}`
for one of several, `[a-z]` for one of a set. Compiled for RE2, which has no catastrophic patterns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

#: A pattern longer than this is a mistake or an attack.
LONGEST = 512
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]/\[]+\]|[{},]|.", re.DOTALL)


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

    def matches(self, name: str) -> bool:
        """Tell whether the whole name fits."""
        return bool(_compiled(self.text).fullmatch(name))


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
    for token in _TOKEN.findall(text):
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth < 0:
            break
        parts.append(_one(token, inside=depth > 0))
    if depth:
        raise PatternInvalid(f"the braces of {text!r} do not match")
    return "".join(parts)


_FIXED = {"**/": "(?:[^/]*/)*", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}


def _one(part: str, *, inside: bool) -> str:
    if part in _FIXED:
        return _FIXED[part]
    if part == ",":
        return "|" if inside else ","
    if len(part) > 1:
        negated = part[1] in "!^"
        members = part[2:-1] if negated else part[1:-1]
        return f"[{'^/' if negated else ''}{_set(members)}]"
    return re.escape(part)


def _set(members: str) -> str:
    return members.replace("\\", "\\\\").replace("^", "\\^")
