"""Tags that come back: set where the name is free, set aside in the history where it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from entrepot.metadata.contents import tags
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Transaction
from entrepot.registry.ports import TagRules


@dataclass(slots=True)
class Retagged:
    """What became of tags that were to come back."""

    restored: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)  #: taken meanwhile: in the tag's history, to be put back from there


@dataclass(frozen=True, slots=True, kw_only=True)
class Retagging:
    """Brings tags back to one repository, within a write transaction."""

    repository: RepositoryRecord
    rules: TagRules
    actor: str
    replace: bool  #: also where the name is taken, unless a rule keeps it

    async def run(self, tx: Transaction, names: Sequence[str], manifest_id: int, digest: str) -> Retagged:
        """Point tags at a manifest of the repository."""
        if not names:
            return Retagged()
        before = await tags.current(tx, self.repository.id, names)
        taken = [name for name in names if before.get(name, digest) != digest]
        aside = await self._kept(tx, taken) if self.replace else taken
        restored = [name for name in names if name not in aside]
        moved = [name for name in restored if before.get(name) != digest]
        late = await tags.add(tx, self.repository.id, [name for name in moved if name not in before], manifest_id)
        await tags.put(tx, self.repository.id, [name for name in moved if name in before], manifest_id)
        await self._remember(tx, [name for name in moved if name not in late], digest, tags.RESTORED)
        await self._remember(tx, aside, digest, tags.ASIDE)
        more = await self.run(tx, late, manifest_id, digest)
        return Retagged([name for name in restored if name not in late] + more.restored, aside + more.aside)

    async def _kept(self, tx: Transaction, taken: Sequence[str]) -> list[str]:
        """Return those that a rule keeps where they are."""
        rule_of = await self.rules.of(tx, self.repository) if taken else None
        return [] if rule_of is None else [name for name in taken if rule_of(name) is not None]

    async def _remember(self, tx: Transaction, names: Sequence[str], digest: str, action: str) -> None:
        if names:
            await tags.remember(tx, self.repository.id, names, digest=digest, action=action, actor=self.actor)
