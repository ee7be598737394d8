"""Selectors of rules, in Harbor's words: which tags, and which repositories of a project, a rule is about.

A selector fits names that match its pattern, or (`excludes`) that do not. Of several, all must fit. Repositories are
matched without their project.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.access.patterns import Pattern, PatternInvalid

DOUBLESTAR: Final = "doublestar"
MATCHES: Final = "matches"
EXCLUDES: Final = "excludes"
REPOSITORY_MATCHES: Final = "repoMatches"
REPOSITORY_EXCLUDES: Final = "repoExcludes"
#: Selectors of one rule, for tags and for repositories each.
MOST: Final = 20
_EXCLUDING: Final = (EXCLUDES, REPOSITORY_EXCLUDES)
_MAX_EXTRAS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One condition on a name."""

    decoration: str
    pattern: str
    kind: str = DOUBLESTAR
    extras: str = ""  #: JSON with more conditions, for the rules that know some

    def fits(self, name: str) -> bool:
        """Tell whether the rule is about this name, as far as this selector goes."""
        return Pattern(self.pattern).matches(name) is (self.decoration not in _EXCLUDING)


def of_tags(selectors: Iterable[Selector]) -> tuple[Selector, ...]:
    """Return selectors for tags, checked.

    Raises:
        Invalid: There are none, too many, or one cannot be used.
    """
    return _checked(selectors, "tag", (MATCHES, EXCLUDES))


def of_repositories(selectors: Iterable[Selector]) -> tuple[Selector, ...]:
    """Return selectors for repositories, checked.

    Raises:
        Invalid: There are none, too many, or one cannot be used.
    """
    return _checked(selectors, "repository", (REPOSITORY_MATCHES, REPOSITORY_EXCLUDES))


def fits(selectors: Sequence[Selector], name: str) -> bool:
    """Tell whether all of them fit a name."""
    return all(selector.fits(name) for selector in selectors)


def written(selectors: Iterable[Selector]) -> str:
    """Write selectors down; the same text for the same selectors."""
    return json.dumps([asdict(selector) for selector in selectors], sort_keys=True, ensure_ascii=False)


@lru_cache(maxsize=1024)
def read(text: str) -> tuple[Selector, ...]:
    """Read what `written` wrote."""
    return tuple(Selector(**one) for one in json.loads(text))


def _checked(selectors: Iterable[Selector], what: str, decorations: Sequence[str]) -> tuple[Selector, ...]:
    found = tuple(selectors)
    if not 0 < len(found) <= MOST:
        raise Invalid(f"a rule has 1 to {MOST} {what} selectors")
    for selector in found:
        if selector.kind != DOUBLESTAR:
            raise Invalid(f"the kind of a selector is {DOUBLESTAR}")
        if selector.decoration not in decorations:
            raise Invalid(f"the decoration of a {what} selector is {' or '.join(decorations)}")
        if len(selector.extras) > _MAX_EXTRAS:
            raise Invalid(f"the extras of a selector have at most {_MAX_EXTRAS} characters")
        try:
            Pattern.parse(selector.pattern)
        except PatternInvalid as error:
            raise Invalid(f"the pattern of a {what} selector: {error}") from None
    return found
