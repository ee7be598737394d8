"""What is stored for whom, added up from nothing by the plainest means."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from entrepot.metadata.database import Database
from entrepot.metadata.query import RawQuery

_USES = RawQuery(
    "SELECT 'b' || b.id, b.size, m.id, r.id, r.project_id, r.name FROM blobs AS b "
    "JOIN manifest_blobs AS mb ON mb.blob_id = b.id JOIN manifests AS m ON m.id = mb.manifest_id "
    "JOIN repositories AS r ON r.id = m.repository_id "
    "UNION SELECT m.digest, m.size, m.id, r.id, r.project_id, r.name FROM manifests AS m "
    "JOIN repositories AS r ON r.id = m.repository_id"
)


@dataclass
class Recount:
    """Sums of a project, a repository or all."""

    logical: int = 0
    stored: dict[str, int] = field(default_factory=dict)
    trash: dict[str, int] = field(default_factory=dict)
    manifests: set[int] = field(default_factory=set)
    own: int = 0
    unique: int = 0

    def as_sums(self) -> dict[str, int]:
        """Give it as analyses keep it."""
        trash = {thing: size for thing, size in self.trash.items() if thing not in self.stored}
        return {
            "logical_bytes": self.logical,
            "stored_bytes": sum(self.stored.values()),
            "own_bytes": self.own,
            "unique_bytes": self.unique,
            "trash_bytes": sum(trash.values()),
            "manifests": len(self.manifests),
        }


async def recount(database: Database) -> dict[tuple[str, int], dict[str, int]]:
    """Return the sums by kind and number."""
    parts: defaultdict[tuple[str, int], Recount] = defaultdict(Recount)
    users: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    homes: dict[int, int] = {}
    for thing, size, manifest, repository, project, name in await database.all(_USES):
        if name.startswith("~"):
            parts["project", project].trash[thing] = size
            continue
        homes[repository] = project
        for kind, number in (("repository", repository), ("project", project)):
            part = parts[kind, number]
            part.logical += size
            part.stored[thing] = size
            part.manifests.add(manifest)
            users[kind, thing].add(number)
    for (kind, number), part in parts.items():
        part.unique = sum(size for thing, size in part.stored.items() if len(users[kind, thing]) == 1)
        if kind == "project":
            part.own = sum(part.stored.values())
        else:
            for thing, size in part.stored.items():
                part.own += size * ([homes[user] for user in users[kind, thing]].count(homes[number]) == 1)
    return {key: part.as_sums() for key, part in parts.items()}
