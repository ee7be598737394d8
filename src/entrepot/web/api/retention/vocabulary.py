"""What rules of retention can say, in Harbor's shapes: for the forms that people fill in."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from entrepot.lifecycle.retention.rules import DAYS, TEMPLATES, Template
from entrepot.lifecycle.selectors import DOUBLESTAR, EXCLUDES, MATCHES, REPOSITORY_EXCLUDES, REPOSITORY_MATCHES
from entrepot.web.api.retention.models import RETAIN


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


def metadata(templates: Mapping[str, Template] = TEMPLATES) -> RetentionMetadata:
    """Return what rules can say."""
    scopes = [REPOSITORY_MATCHES, REPOSITORY_EXCLUDES]
    return RetentionMetadata(
        templates=[RuleMetadata.of(template) for template in templates.values()],
        scope_selectors=[SelectorMetadata(display_text="Repositories", kind=DOUBLESTAR, decorations=scopes)],
        tag_selectors=[SelectorMetadata(display_text="Tags", kind=DOUBLESTAR, decorations=[MATCHES, EXCLUDES])],
    )
