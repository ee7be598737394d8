"""How selectors of rules are written in Harbor's API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from entrepot.lifecycle import selectors

#: What a rule's `scope_selectors` are about.
REPOSITORY: Final = "repository"


class Selector(BaseModel):
    """A condition on the names that a rule is about."""

    model_config = ConfigDict(extra="ignore")

    kind: Annotated[str, Field(max_length=32, examples=["doublestar"])] = selectors.DOUBLESTAR
    decoration: Annotated[str, Field(max_length=32, examples=["matches"])]
    pattern: Annotated[str, Field(max_length=1024, examples=["v*"])]
    extras: Annotated[str, Field(max_length=1024)] = ""

    def selector(self) -> selectors.Selector:
        """Return what it says."""
        return selectors.Selector(kind=self.kind, decoration=self.decoration, pattern=self.pattern, extras=self.extras)


Selectors = Annotated[list[Selector], Field(max_length=selectors.MOST)]
Scopes = Annotated[dict[str, Selectors], Field(max_length=4)]


def shown(found: Iterable[selectors.Selector]) -> list[Selector]:
    """Return what is shown of selectors."""
    return [Selector(kind=one.kind, decoration=one.decoration, pattern=one.pattern, extras=one.extras) for one in found]
