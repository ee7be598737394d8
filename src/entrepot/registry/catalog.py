"""The list of all repositories."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from entrepot.metadata.contents import catalog
from entrepot.metadata.database import Database
from entrepot.oci.reference import sort_key
from entrepot.registry.adoption import AdoptionGate
from entrepot.registry.model import Page, cut_page

#: Names that are read at a time where only some of them may be seen.
_STEP = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """Names that begin with a text, of one project or (None) of all: some of them may be seen."""

    project: str | None
    beginning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """Which repositories somebody may see."""

    projects: Collection[str] | None  #: all of these projects' repositories; None: of all projects
    names: Collection[str] = ()  #: and these, as far as `allows` says so
    parts: Collection[Part] = ()  #: and of these, those of which `allows` says so
    allows: Callable[[str], bool] = lambda _name: True


EVERYTHING = Visible(projects=None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All repositories that have a manifest."""

    metadata: Database
    gate: AdoptionGate

    async def list(self, *, limit: int, last: str = "", visible: Visible = EVERYTHING) -> Page:
        """Return up to `limit` names after `last`, ordered by path component as registry:2 does.

        Args:
            limit: The most names to return.
            last: Continue after this name; it need not exist.
            visible: What may be seen. Whole projects cost what is returned; names that begin with a text are read
                until enough of them may be seen.
        """
        await self.gate.names_known()
        wanted = limit + 1
        found = set(await catalog.names(self.metadata, limit=wanted, last=last, projects=visible.projects))
        if visible.names:
            named = await catalog.named(self.metadata, limit=wanted, last=last, among=visible.names)
            found.update(filter(visible.allows, named))
        for part in visible.parts:
            found.update(await self._looked_through(part, visible.allows, wanted, last))
        return cut_page(sorted(found, key=sort_key)[:wanted], limit)

    async def _looked_through(
        self, part: Part, allows: Callable[[str], bool], wanted: int, last: str
    ) -> Collection[str]:
        found: list[str] = []
        while len(found) < wanted:
            names = await catalog.beginning(
                self.metadata, limit=_STEP, last=last, text=part.beginning, project=part.project
            )
            found += filter(allows, names)
            if len(names) < _STEP:
                break
            last = names[-1]
        return found[:wanted]
