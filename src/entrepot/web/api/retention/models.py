"""Retention policies in Harbor's shapes; what their runs did is in `run_models`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from entrepot.access.faults import Invalid
from entrepot.lifecycle.retention.policies import SCHEDULE, Policy, PolicyText
from entrepot.lifecycle.retention.rules import Rule, RuleText
from entrepot.lifecycle.selectors import DOUBLESTAR, MATCHES, REPOSITORY_MATCHES
from entrepot.web.api.retention.selector_models import REPOSITORY, Scopes, Selectors, shown
from entrepot.web.api.values import moment

RETAIN: Final = "retain"
_OR: Final = "or"
_PROJECT: Final = "project"
_CRON: Final = "cron"
_NEXT: Final = "next_scheduled_time"
_RULE: Final[dict[str, Any]] = {
    "id": 1,
    "priority": 0,
    "disabled": False,
    "action": RETAIN,
    "template": "latestPushedK",
    "params": {"latestPushedK": 10},
    "tag_selectors": [
        {"kind": DOUBLESTAR, "decoration": MATCHES, "pattern": "v*", "extras": '{"untagged":false}'},
    ],
    "scope_selectors": {
        REPOSITORY: [{"kind": DOUBLESTAR, "decoration": REPOSITORY_MATCHES, "pattern": "**", "extras": ""}]
    },
}


class RetentionRule(BaseModel):
    """A rule: what it keeps of the tags that fit all its selectors."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": _RULE})

    id: int = 0
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    disabled: StrictBool = False
    action: Annotated[str, Field(max_length=32)] = RETAIN
    template: Annotated[str, Field(max_length=64)]
    params: Annotated[dict[str, Any], Field(max_length=16)] = {}
    tag_selectors: Selectors = []
    scope_selectors: Scopes = {}

    @classmethod
    def of(cls, number: int, rule: Rule) -> RetentionRule:
        """Return what is shown of a rule."""
        return cls(
            id=number,
            priority=rule.priority,
            disabled=rule.disabled,
            template=rule.template,
            params={} if rule.kind.unit is None else {rule.template: rule.value},
            tag_selectors=shown(rule.tags),
            scope_selectors={REPOSITORY: shown(rule.repositories)},
        )

    def text(self) -> RuleText:
        """Return what it says."""
        if self.action != RETAIN:
            raise Invalid(f"the action of a rule is {RETAIN}")
        return RuleText(
            template=self.template,
            params=self.params,
            tags=[one.selector() for one in self.tag_selectors],
            repositories=[one.selector() for one in self.scope_selectors.get(REPOSITORY, [])],
            priority=self.priority,
            disabled=self.disabled,
        )


class Trigger(BaseModel):
    """When a policy runs by itself: by a cron line, or not."""

    model_config = ConfigDict(extra="ignore")

    kind: Annotated[str, Field(max_length=32, examples=[SCHEDULE])] = ""
    settings: Annotated[dict[str, Any], Field(max_length=16, examples=[{_CRON: "0 0 3 * * *"}])] | None = None
    references: Annotated[dict[str, Any], Field(max_length=16)] | None = None

    def cron(self) -> str:
        """Return its cron line; empty when there is none.

        Raises:
            Invalid: It is no text.
        """
        line = (self.settings or {}).get(_CRON) or ""
        if not isinstance(line, str):
            raise Invalid("trigger.settings.cron is a cron line, or empty")
        return line if self.kind else ""


class Scope(BaseModel):
    """Which project a policy is about."""

    level: Annotated[str, Field(max_length=32, examples=[_PROJECT])]
    ref: Annotated[int, Field(description="Number of the project.", examples=[7])]

    def project(self) -> str:
        """Return the number of the project.

        Raises:
            Invalid: It is about something else.
        """
        if self.level != _PROJECT or self.ref < 1:
            raise Invalid('the scope of a policy is a project: {"level": "project", "ref": 7}')
        return str(self.ref)


class RetentionPolicy(BaseModel):
    """Which tags a project keeps: those that any of the rules keeps."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "example": {
                "id": 4,
                "algorithm": _OR,
                "rules": [_RULE],
                "trigger": {"kind": SCHEDULE, "settings": {_CRON: "0 0 3 * * *"}, "references": {}},
                "scope": {"level": _PROJECT, "ref": 7},
            }
        },
    )

    id: int = 0
    algorithm: Annotated[str, Field(max_length=32)] = _OR
    rules: Annotated[list[RetentionRule], Field(max_length=100)] | None = None
    trigger: Trigger = Trigger()
    scope: Scope

    @classmethod
    def of(cls, policy: Policy) -> RetentionPolicy:
        """Return what is shown of a policy."""
        settings: dict[str, Any] = {_CRON: policy.cron}
        if policy.next_at is not None:
            settings[_NEXT] = moment(policy.next_at)
        return cls(
            id=policy.id,
            rules=[RetentionRule.of(number, rule) for number, rule in enumerate(policy.rules, 1)],
            trigger=Trigger(kind=policy.trigger, settings=settings, references={}),
            scope=Scope(level=_PROJECT, ref=policy.project_id),
        )

    def text(self) -> PolicyText:
        """Return what it says."""
        if self.algorithm != _OR:
            raise Invalid(f"the algorithm of a policy is {_OR}: what any rule keeps is kept")
        texts = [rule.text() for rule in self.rules or []]
        return PolicyText(rules=texts, trigger=self.trigger.kind, cron=self.trigger.cron())
