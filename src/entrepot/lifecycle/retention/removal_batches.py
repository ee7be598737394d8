"""Puts together what goes of one manifest, from verdicts that come in the order of their tags, without holding all.

A manifest whose tags all go is taken away as one, with them. So what goes is held back until some thousands of verdicts
have come after it: names that are further apart go for themselves, and the manifest with the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from entrepot.metadata.lifecycle.retention_verdicts import StoredVerdict

#: Manifests of one transaction, and tags of one manifest that go without it.
AT_ONCE: Final = 20
TAGS: Final = 100
#: Verdicts on what goes that are held back.
_HELD: Final = 5_000


@dataclass(frozen=True, slots=True)
class Going:
    """A manifest, and those of its tags that no rule keeps; without any it has none."""

    digest: str
    manifest_id: int
    pushed_at: int  #: the manifest, or one of the tags
    tags: Mapping[str, int]  #: when each was pushed


@dataclass(slots=True)
class Gathering:
    """Takes verdicts and gives batches, the first of which came first."""

    _verdicts: dict[int, list[StoredVerdict]] = field(default_factory=dict)
    _held: int = 0

    def take(self, verdicts: Iterable[StoredVerdict]) -> Iterator[list[Going]]:
        """Take verdicts; give those that were held back long enough, in pieces that one transaction removes each."""
        for verdict in verdicts:
            if not verdict.kept:
                self._verdicts.setdefault(verdict.manifest_id, []).append(verdict)
                self._held += 1
        while self._held > _HELD:
            yield self._batch()

    def rest(self) -> Iterator[list[Going]]:
        """Give all that is held back."""
        while self._verdicts:
            yield self._batch()

    def _batch(self) -> list[Going]:
        batch: list[Going] = []
        tags = 0
        while self._verdicts and len(batch) < AT_ONCE and tags < TAGS:
            found = self._verdicts.pop(next(iter(self._verdicts)))
            self._held -= len(found)
            batch.append(_going(found))
            tags += len(found)
        return batch


def _going(found: list[StoredVerdict]) -> Going:
    first = found[0]
    tags = {one.tag: one.pushed_at for one in found if one.tag is not None}
    return Going(first.digest, first.manifest_id, first.pushed_at, tags)
