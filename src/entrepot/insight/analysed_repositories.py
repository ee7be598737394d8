"""Where things are: the repositories of an analysis, looked up once each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from entrepot.metadata import trash_namespaces
from entrepot.metadata.database import Reader
from entrepot.metadata.usage import analyses


@dataclass(frozen=True, slots=True)
class Place:
    """A repository."""

    id: int
    project_id: int
    in_trash: bool


@dataclass(slots=True)
class Places:
    """Knows repositories by their row ids."""

    reader: Reader
    _known: dict[int, Place] = field(default_factory=dict)

    async def learn(self, ids: Collection[int]) -> None:
        """Look up those that are not known yet."""
        unknown = set(ids) - self._known.keys()
        for row_id, (project, name) in (await analyses.repositories_of(self.reader, unknown)).items():
            self._known[row_id] = Place(row_id, project, trash_namespaces.is_shadow(name))

    def __getitem__(self, row_id: int) -> Place:
        """Return one; a repository that is gone by now counts as trash of no project."""
        return self._known.get(row_id) or Place(row_id, 0, in_trash=True)
