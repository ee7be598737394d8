"""What the rules of a project say of tags: asked within the transaction that would move or delete them."""

from __future__ import annotations

from dataclasses import dataclass

from entrepot.lifecycle import selectors
from entrepot.lifecycle.selectors import Selector
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader
from entrepot.metadata.lifecycle import immutable_rules
from entrepot.registry.ports import RuleOf


@dataclass(frozen=True, slots=True)
class _Lock:
    """A rule that is about a repository."""

    rule: int
    tags: tuple[Selector, ...]


@dataclass(frozen=True, slots=True)
class _Locks:
    """The rules that are about one repository; equal when they say the same."""

    locks: tuple[_Lock, ...]

    def __call__(self, tag: str) -> int | None:
        """Return the number of the rule that keeps a tag where it is."""
        return next((lock.rule for lock in self.locks if selectors.fits(lock.tags, tag)), None)


class ImmutableTags:
    """`TagRules` of the registry, from the rules of its projects."""

    async def of(self, reader: Reader, repository: RepositoryRecord, /) -> RuleOf | None:
        """See `TagRules`."""
        name = within_project(repository.name)
        locks = tuple(
            _Lock(rule, selectors.read(tags))
            for rule, tags, repositories in await immutable_rules.in_force(reader, repository.project_id)
            if selectors.fits(selectors.read(repositories), name)
        )
        return _Locks(locks) if locks else None


def within_project(name: str) -> str:
    """Return a repository's name without its project."""
    return name.partition("/")[2] or name
