"""From groups to who may enter and who may everything."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import re2

#: More groups than this come from no claim that means groups of people.
MOST_GROUPS = 2_000
_LONGEST_GROUP = 255


class RulesInvalid(ValueError):
    """A rule cannot be read; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator decided about a provider's people."""

    auto_onboard: bool = False
    group_filter: str = ""  #: a regular expression over whole names; empty: all
    allowed_groups: frozenset[str] = frozenset()  #: empty: whoever the provider lets in
    admin_groups: frozenset[str] = frozenset()
    check: float = 180.0  #: seconds after which the provider is asked again
    offline: float = 86_400.0  #: seconds for which an account goes on without an answer

    def groups_of(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Return the groups that count here: those that fit the filter, each once.

        Names that no group can have are left out: they would be a group that nobody can see or name.
        """
        fits = _filter(self.group_filter)
        found = dict.fromkeys(group for group in groups if _usable(group) and (fits is None or fits.fullmatch(group)))
        return tuple(found)[:MOST_GROUPS]

    def refusal(self, groups: Iterable[str]) -> str:
        """Say why somebody in these groups may not enter; the empty text when they may."""
        if self.allowed_groups and self.allowed_groups.isdisjoint(groups):
            return "you are in none of the groups that may use this registry; ask its administrators"
        return ""

    def is_admin(self, groups: Iterable[str]) -> bool:
        """Tell whether somebody in these groups may everything."""
        return not self.admin_groups.isdisjoint(groups)

    def check_filter(self) -> None:
        """Read the filter.

        Raises:
            RulesInvalid: It is no regular expression.
        """
        _filter(self.group_filter)


def _usable(group: str) -> bool:
    return 0 < len(group) <= _LONGEST_GROUP and group == group.strip() and group.isprintable()


@functools.lru_cache(maxsize=64)
def _filter(text: str) -> re2._Regexp | None:
    if not text:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise RulesInvalid(f"groupfilter is no regular expression: {error}") from None
