"""Rules of retention, in Harbor's words: what each template keeps, and what a rule says, checked.

All rules keep something; what none keeps goes. A repository that no rule is about is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Final

from entrepot.access.faults import Conflict, Invalid
from entrepot.lifecycle import selectors
from entrepot.lifecycle.selectors import EXCLUDES, Selector

#: Rules of one policy, as in Harbor.
MOST: Final = 15
DAYS: Final = "DAYS"
COUNT: Final = "COUNT"
_EVERYTHING: Final = "**"
_MOST_OF: Final = {DAYS: 100_000, COUNT: 32_766}


@dataclass(frozen=True, slots=True)
class Template:
    """What a rule can keep; its parameter has the same name."""

    name: str
    text: str  #: `#` stands for the parameter
    unit: str | None = None
    by_pulls: bool = False  #: looks at when something was pulled
    own: bool = False  #: unknown to Harbor

    def says(self, value: int) -> str:
        """Return what a rule of this template keeps."""
        return self.text.replace("#", f"{value:,}")


_ALL: Final = (
    Template("latestPushedK", "the # most recently pushed", COUNT),
    Template("latestPulledN", "the # most recently pulled", COUNT, by_pulls=True),
    Template("latestActiveK", "the # most recently pushed or pulled", COUNT, by_pulls=True),
    Template("nDaysSinceLastPush", "pushed within the last # days", DAYS),
    Template("nDaysSinceLastPull", "pulled within the last # days", DAYS, by_pulls=True),
    Template("lastXDays", "pushed within the last # days", DAYS),
    Template("always", "always"),
    Template("everPulled", "pulled at least once, or pushed within the last # days", DAYS, by_pulls=True, own=True),
)
TEMPLATES: Final[Mapping[str, Template]] = {template.name: template for template in _ALL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    template: str
    tags: tuple[Selector, ...]
    repositories: tuple[Selector, ...]
    value: int = 0  #: of the template's parameter
    priority: int = 0
    disabled: bool = False

    @property
    def kind(self) -> Template:
        """Return the rule's template."""
        return TEMPLATES[self.template]

    @property
    def text(self) -> str:
        """Say what it keeps."""
        return self.kind.says(self.value)

    def is_about(self, repository: str) -> bool:
        """Tell whether the rule is about a repository, named without its project."""
        return not self.disabled and selectors.fits(self.repositories, repository)

    def takes_untagged(self) -> bool:
        """Tell whether the rule is about manifests without a tag, too."""
        return all(takes_untagged(selector) for selector in self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """What people say of a rule."""

    template: str
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[Selector] = ()
    repositories: Sequence[Selector] = ()
    priority: int = 0
    disabled: bool = False


def takes_untagged(selector: Selector) -> bool:
    """Tell whether a selector for tags fits what has none.

    `extras` says whether such things are meant beside the tags that match. `excludes` fits all that is not meant.
    """
    meant = _extras(selector.extras).get("untagged")
    if meant is None:
        return True
    return bool(meant) is not (selector.decoration == EXCLUDES)


def checked(texts: Sequence[RuleText]) -> tuple[Rule, ...]:
    """Return rules that can be used.

    Raises:
        Conflict: Two say the same.
        Invalid: There are too many, or one says something that cannot be.
    """
    if len(texts) > MOST:
        raise Invalid(f"a policy has at most {MOST} rules")
    rules = tuple(_checked(text) for text in texts)
    for number, rule in enumerate(rules, 1):
        if (same := rules.index(rule) + 1) != number:
            raise Conflict(f"rules {same} and {number} say the same")
    return rules


def written(rules: Sequence[Rule]) -> str:
    """Write rules down."""
    return json.dumps([asdict(rule) for rule in rules], ensure_ascii=False)


@lru_cache(maxsize=256)
def read(text: str) -> tuple[Rule, ...]:
    """Read what `written` wrote."""
    return tuple(_read(one) for one in json.loads(text))


def _read(one: dict[str, Any]) -> Rule:
    named = {name: tuple(Selector(**each) for each in one[name]) for name in ("tags", "repositories")}
    return Rule(**{**one, **named})


def _checked(text: RuleText) -> Rule:
    template = TEMPLATES.get(text.template)
    if template is None:
        raise Invalid(f"there is no template {text.template[:50]!a}; there are {', '.join(TEMPLATES)}")
    tags = selectors.of_tags(_plain(one) for one in text.tags)
    for selector in tags:
        _require_extras(selector)
    return Rule(
        template=template.name,
        tags=tags,
        repositories=selectors.of_repositories(_plain(one) for one in text.repositories),
        value=_value(template, text.params),
        priority=text.priority,
        disabled=text.disabled,
    )


def _plain(selector: Selector) -> Selector:
    """Harbor takes an empty pattern for everything."""
    if selector.pattern:
        return selector
    return Selector(kind=selector.kind, decoration=selector.decoration, pattern=_EVERYTHING, extras=selector.extras)


def _value(template: Template, params: Mapping[str, Any]) -> int:
    if template.unit is None:
        return 0
    given = params.get(template.name)
    value = int(given) if isinstance(given, float) and given.is_integer() else given
    most = _MOST_OF[template.unit]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise Invalid(f"the parameter {template.name} of a rule is a whole number from 0 to {most:,}")
    return value


def _require_extras(selector: Selector) -> None:
    try:
        known = _extras(selector.extras)
    except ValueError:
        known = {"untagged": ""}
    if not isinstance(known.get("untagged", True), bool):
        raise Invalid('the extras of a tag selector are JSON like {"untagged": true}')


@lru_cache(maxsize=256)
def _extras(text: str) -> Mapping[str, Any]:
    found = json.loads(text) if text else {}
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - the same fault as JSON that cannot be read
    return found
