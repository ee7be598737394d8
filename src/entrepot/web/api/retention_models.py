"""Retention policies and what their runs did, in Harbor's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from entrepot.access.faults import Invalid
from entrepot.lifecycle.retention import rules
from entrepot.lifecycle.retention.policies import SCHEDULE, Policy, PolicyText
from entrepot.lifecycle.retention.rules import DAYS, Rule, RuleText, Template
from entrepot.lifecycle.selectors import DOUBLESTAR, EXCLUDES, MATCHES, REPOSITORY_EXCLUDES, REPOSITORY_MATCHES
from entrepot.metadata.job_runs import Run, State
from entrepot.metadata.retention_tasks import TaskRecord
from entrepot.metadata.retention_verdicts import StoredVerdict
from entrepot.web.api.selector_models import REPOSITORY, Scopes, Selectors, shown
from entrepot.web.api.values import moment, moment_or_none

RETAIN: Final = "retain"
_OR: Final = "or"
_PROJECT: Final = "project"
_CRON: Final = "cron"
_NEXT: Final = "next_scheduled_time"
_TIME: Final = "2026-01-02T03:04:05Z"
_CODES: Final = {State.PENDING: 0, State.RUNNING: 2}
_ENDED: Final = 3
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


class RetentionExecution(BaseModel):
    """One run of a policy."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 17,
                "policy_id": 4,
                "start_time": _TIME,
                "end_time": _TIME,
                "status": "Success",
                "trigger": "MANUAL",
                "dry_run": True,
            }
        }
    )

    id: int
    policy_id: int
    start_time: datetime
    end_time: datetime | None
    status: str = Field(description="Pending, Running, Success, Error or Stopped.")
    trigger: str = Field(description="MANUAL or SCHEDULE.")
    dry_run: bool

    @classmethod
    def of(cls, policy_id: int, run: Run) -> RetentionExecution:
        """Show a run."""
        return cls(
            id=run.id,
            policy_id=policy_id,
            start_time=moment(run.started_at or run.created_at),
            end_time=moment_or_none(run.ended_at),
            status=run.state.value,
            trigger=run.cause.value,
            dry_run=bool(run.parameters.get("dry_run")),
        )


class RetentionTask(BaseModel):
    """What a run did in one repository."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 31,
                "execution_id": 17,
                "repository": "app",
                "job_id": "17",
                "status": "Success",
                "status_code": 3,
                "status_revision": 0,
                "start_time": _TIME,
                "end_time": _TIME,
                "total": 12,
                "retained": 10,
            }
        }
    )

    id: int
    execution_id: int
    repository: str = Field(description="Without the project.")
    job_id: str
    status: str
    status_code: int
    status_revision: int = 0
    start_time: datetime
    end_time: datetime | None
    total: int = Field(description="Tags, and manifests without any, that were looked at.")
    retained: int

    @classmethod
    def of(cls, task: TaskRecord, run: Run) -> RetentionTask:
        """Show a task; one that has not ended is as its run."""
        state = task.state if task.ended_at is not None or run.ended_at is None else run.state
        return cls(
            id=task.id,
            execution_id=task.run_id,
            repository=task.repository,
            job_id=str(task.run_id),
            status=state.value,
            status_code=_CODES.get(state, _ENDED),
            start_time=moment(task.started_at),
            end_time=moment_or_none(task.ended_at),
            total=task.total,
            retained=task.retained,
        )


class RetentionVerdict(BaseModel):
    """What was decided about one tag, or about one manifest that has none."""

    tag: str | None = Field(examples=["v1"])
    digest: str = Field(examples=["sha256:" + "0" * 64])
    push_time: datetime = Field(examples=[_TIME])
    kept: bool = Field(examples=[False])
    rule: int | None = Field(description="Number of the rule that keeps it, from 1.", examples=[None])
    reason: str = Field(examples=["no rule keeps it"])

    @classmethod
    def of(cls, verdict: StoredVerdict) -> RetentionVerdict:
        """Show a verdict."""
        return cls(
            tag=verdict.tag,
            digest=verdict.digest,
            push_time=moment(verdict.pushed_at),
            kept=verdict.kept,
            rule=verdict.rule,
            reason=verdict.reason,
        )


class ExecutionRequest(BaseModel):
    """How to run a policy."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"dry_run": True}})

    dry_run: StrictBool = False


class ExecutionChange(BaseModel):
    """What to do with a run."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": {"action": "stop"}})

    action: Literal["stop"]


class ParameterMetadata(BaseModel):
    """A parameter that a rule needs."""

    type: str = Field(examples=["int"])
    unit: str = Field(examples=[DAYS])
    required: bool = Field(examples=[True])


class RuleMetadata(BaseModel):
    """What a rule can keep."""

    rule_template: str = Field(examples=["nDaysSinceLastPush"])
    display_text: str = Field(examples=["pushed within the last # days"])
    action: str = Field(examples=[RETAIN])
    params: list[ParameterMetadata]

    @classmethod
    def of(cls, template: Template) -> RuleMetadata:
        """Show a template."""
        params = [] if template.unit is None else [ParameterMetadata(type="int", unit=template.unit, required=True)]
        return cls(rule_template=template.name, display_text=template.text, action=RETAIN, params=params)


class SelectorMetadata(BaseModel):
    """What names can be compared with."""

    display_text: str = Field(examples=["Tags"])
    kind: str = Field(examples=[DOUBLESTAR])
    decorations: list[str] = Field(examples=[[MATCHES, EXCLUDES]])


class RetentionMetadata(BaseModel):
    """What rules can say."""

    templates: list[RuleMetadata]
    scope_selectors: list[SelectorMetadata]
    tag_selectors: list[SelectorMetadata]


def metadata(templates: Mapping[str, Template] = rules.TEMPLATES) -> RetentionMetadata:
    """Return what rules can say."""
    scopes = [REPOSITORY_MATCHES, REPOSITORY_EXCLUDES]
    return RetentionMetadata(
        templates=[RuleMetadata.of(template) for template in templates.values()],
        scope_selectors=[SelectorMetadata(display_text="Repositories", kind=DOUBLESTAR, decorations=scopes)],
        tag_selectors=[SelectorMetadata(display_text="Tags", kind=DOUBLESTAR, decorations=[MATCHES, EXCLUDES])],
    )
