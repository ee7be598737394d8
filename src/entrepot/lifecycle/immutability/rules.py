"""The rules themselves: listed, made, changed and removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.access.faults import Conflict, Invalid, NotFound
from entrepot.lifecycle import selectors
from entrepot.lifecycle.selectors import Selector
from entrepot.metadata import events
from entrepot.metadata.contents.projects import ProjectRecord
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.filtering import Listed, Selection
from entrepot.metadata.lifecycle import immutable_rules as rows
from entrepot.metadata.lifecycle.immutable_rules import RuleRecord

#: Rules of one project.
MOST: Final = 100
#: What a database keeps in 64 bits is more than anybody orders by hand.
_MAX_PRIORITY: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleText:
    """What people say of a rule."""

    tags: Sequence[Selector]
    repositories: Sequence[Selector]
    priority: int = 0
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class _Written:
    """The same, checked and as it is stored."""

    priority: int
    disabled: bool
    tags: str
    repositories: str


class ImmutableRules:
    """The use cases about rules; whether the caller may, the caller's side has asked before."""

    def __init__(self, metadata: Database) -> None:
        self._metadata = metadata

    async def page(self, project: ProjectRecord, selection: Selection) -> Listed[RuleRecord]:
        """Return a page of a project's rules."""
        return await rows.page(self._metadata, project.id, selection)

    async def get(self, project: ProjectRecord, rule_id: int) -> RuleRecord:
        """Return one rule.

        Raises:
            NotFound: The project has none of this number.
        """
        found = await rows.find(self._metadata, project.id, rule_id)
        if found is None:
            raise _unknown(project, rule_id)
        return found

    async def create(self, project: ProjectRecord, text: RuleText, *, by: Source) -> int:
        """Make a rule; return its number.

        Raises:
            Conflict: There is one that says the same.
            Invalid: A selector cannot be used, or the project has too many rules.
        """
        wanted = _written(text)

        async def work(tx: Transaction) -> int:
            await _require_new(tx, project, wanted, None)
            if await rows.count(tx, project.id) >= MOST:
                raise Invalid(f"a project has at most {MOST} rules")
            made = await rows.add(
                tx,
                project.id,
                priority=wanted.priority,
                disabled=wanted.disabled,
                tag_selectors=wanted.tags,
                repository_selectors=wanted.repositories,
            )
            await _tell(tx, events.CREATE, project, made, wanted, by)
            return made

        return await self._metadata.write(work, name="create immutable rule")

    async def change(self, project: ProjectRecord, rule_id: int, text: RuleText, *, by: Source) -> None:
        """Change a rule.

        Raises:
            Conflict: There is another one that says the same.
            Invalid: A selector cannot be used.
            NotFound: The project has none of this number.
        """
        wanted = _written(text)

        async def work(tx: Transaction) -> None:
            if await rows.find(tx, project.id, rule_id) is None:
                raise _unknown(project, rule_id)
            await _require_new(tx, project, wanted, rule_id)
            await rows.change(
                tx,
                rule_id,
                priority=wanted.priority,
                disabled=wanted.disabled,
                tag_selectors=wanted.tags,
                repository_selectors=wanted.repositories,
            )
            await _tell(tx, events.UPDATE, project, rule_id, wanted, by)

        await self._metadata.write(work, name="change immutable rule")

    async def delete(self, project: ProjectRecord, rule_id: int, *, by: Source) -> None:
        """Remove a rule.

        Raises:
            NotFound: The project has none of this number.
        """

        async def work(tx: Transaction) -> None:
            found = await rows.find(tx, project.id, rule_id)
            if found is None:
                raise _unknown(project, rule_id)
            await rows.remove(tx, rule_id)
            gone = _Written(found.priority, found.disabled, found.tag_selectors, found.repository_selectors)
            await _tell(tx, events.DELETE, project, rule_id, gone, by)

        await self._metadata.write(work, name="delete immutable rule")


def _written(text: RuleText) -> _Written:
    if abs(text.priority) > _MAX_PRIORITY:
        raise Invalid(f"the priority of a rule is at most {_MAX_PRIORITY:,}")
    return _Written(
        text.priority,
        text.disabled,
        selectors.written(selectors.of_tags(text.tags)),
        selectors.written(selectors.of_repositories(text.repositories)),
    )


def _unknown(project: ProjectRecord, rule_id: int) -> NotFound:
    return NotFound(f"project {project.name} has no immutable tag rule {rule_id}")


async def _require_new(tx: Transaction, project: ProjectRecord, wanted: _Written, own: int | None) -> None:
    known = await rows.like(tx, project.id, tag_selectors=wanted.tags, repository_selectors=wanted.repositories)
    if known not in (None, own):
        raise Conflict(f"rule {known} of project {project.name} says the same already")


async def _tell(tx: Transaction, kind: str, project: ProjectRecord, rule_id: int, rule: _Written, by: Source) -> None:
    detail = {"tags": rule.tags, "repositories": rule.repositories, "disabled": rule.disabled}
    subject = f"immutable-tag:{rule_id}"
    await events.add(tx, kind, by=by, project=project.name, subject=subject, detail=detail)
