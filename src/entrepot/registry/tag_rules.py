"""Tags that a project keeps where they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Reader
from entrepot.oci.errors import TagImmutable
from entrepot.registry.ports import RuleOf, TagRules


class _NoRules:
    """Every tag may be moved and deleted."""

    async def of(self, _reader: Reader, _repository: RepositoryRecord, /) -> RuleOf | None:
        """See `TagRules`."""
        return None


NO_RULES: Final = _NoRules()


async def require_movable(rules: TagRules, reader: Reader, repository: RepositoryRecord, tags: Iterable[str]) -> None:
    """Go on only if all of these tags may be moved and deleted; no statement when there are none.

    Raises:
        TagImmutable: A rule of the project says otherwise.
    """
    names = list(tags)
    rule_of = await rules.of(reader, repository) if names else None
    if rule_of is None:
        return
    for name in names:
        if (rule := rule_of(name)) is not None:
            raise TagImmutable(name, rule)
