"""What the trash tells of its work."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Restored:
    """What came out of the trash. Of very many tags, not all are named."""

    project: str
    repository: str | None = None
    digest: str | None = None
    manifests: int = 0
    tags: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)  #: taken meanwhile: to be put back from the tag's history
    repositories: int = 0

    def add(self, manifests: int, tags: list[str], aside: list[str]) -> None:
        """Count some more."""
        self.manifests += manifests
        self.tags += tags[: MOST_NAMED - len(self.tags)]
        self.aside += aside[: MOST_NAMED - len(self.aside)]


#: Tags that an answer names.
MOST_NAMED = 1_000
