"""Images that say how long their tags last: by the label `quay.expires-after` of their configuration, or an annotation.

Each manifest is looked at once, after it was pushed. A tag lasts for so long from the push that set it; a manifest
without one, from its own. What has lasted goes into the trash as everything else that is deleted.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from entrepot.lifecycle.actor import INTERNAL
from entrepot.lifecycle.retention.removal import Removing
from entrepot.metadata import clock, trash_namespaces
from entrepot.metadata.contents import repositories
from entrepot.metadata.contents.repositories import RepositoryRecord
from entrepot.metadata.database import Database
from entrepot.metadata.lifecycle import manifest_expiry, retention_candidates
from entrepot.metadata.lifecycle.manifest_expiry import Expiring, NewManifest
from entrepot.metadata.lifecycle.retention_verdicts import StoredVerdict
from entrepot.oci.digest import Digest
from entrepot.oci.errors import RegistryError, Unsupported
from entrepot.oci.strict_json import JsonInvalid, loads
from entrepot.registry.model import BlobRecord
from entrepot.registry.settings import RegistrySettings
from entrepot.registry.trash import new_deletion
from entrepot.telemetry.progress import Progress

LABEL: Final = "quay.expires-after"
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AT_ONCE: Final = 200
_SHORTEST_WAIT: Final = 60 * clock.MICROSECONDS
_LONGEST_WAIT: Final = 86_400 * clock.MICROSECONDS

#: Gives the bytes of a small blob, if they can be read.
Content = Callable[[BlobRecord], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageExpiry:
    """Looks for such images, and lets their tags go in time."""

    metadata: Database
    settings: RegistrySettings
    content: Content
    gate: Callable[[], Awaitable[str | None]]

    async def run(self, progress: Progress, *, dry_run: bool = False) -> dict[str, Any]:
        """Look at what is new, then at what is due; return what was done.

        Raises:
            Stopped: Somebody asked for an end.
        """
        looked = await self._look(progress)
        off = None if dry_run else await self._off()
        if off is not None:
            await progress.say(f"nothing is removed: {off}")
            return {"looked_at": looked, "removed": 0, "off": off}
        return {"looked_at": looked, "removed": await self._remove(progress, dry_run=dry_run), "dry_run": dry_run}

    async def _off(self) -> str | None:
        try:
            self.settings.require_deletes()
        except Unsupported as error:
            return error.message
        return await self.gate()

    async def _look(self, progress: Progress) -> int:
        """Look at every manifest that was pushed since the last time."""
        last, count = await manifest_expiry.looked_until(self.metadata), 0
        while found := await manifest_expiry.newer(self.metadata, last, limit=_AT_ONCE):
            spans = {one.id: seconds for one in found if (seconds := await self._span(one)) is not None}
            last, count = found[-1].id, count + len(found)
            note = partial(manifest_expiry.note, found=spans, due_at=clock.now(), looked=last)
            await self.metadata.write(note, name="note expiry of images")
            await progress.step(count)
        return count

    async def _span(self, manifest: NewManifest) -> int | None:
        annotated = parsed(manifest.annotations.get(LABEL))
        if annotated is not None or manifest.config is None:
            return annotated
        blob = BlobRecord(Digest.parse(manifest.config), manifest.config_size, manifest.config_key)
        try:
            return _labelled(await self.content(blob))
        except RegistryError:
            return None

    async def _remove(self, progress: Progress, *, dry_run: bool) -> int:
        now, removed = clock.now(), 0
        seen: set[int] = set()
        while found := await manifest_expiry.due(self.metadata, now=now, limit=_AT_ONCE + len(seen)):
            some = [one for one in found if one.manifest_id not in seen]
            if not some:
                break
            for one in some:
                removed += await self._one(one, now, progress, dry_run=dry_run)
                await progress.step(removed)
            seen |= {one.manifest_id for one in some} if dry_run else set()
        return removed

    async def _one(self, one: Expiring, now: int, progress: Progress, *, dry_run: bool) -> int:
        """Let the tags of a manifest go that have lasted; say when to look again."""
        repository = await repositories.find_by_id(self.metadata, one.repository_id)
        tags = await retention_candidates.pushed(self.metadata, one.manifest_id)
        span, gone = one.seconds * clock.MICROSECONDS, list[StoredVerdict]()
        if repository is not None and not trash_namespaces.is_shadow(repository.name):
            gone = _lasted(one, tags, now - span)
        if dry_run:
            for verdict in gone:
                await progress.say(f"would go: {one.digest} {verdict.tag or ''}")
            return len(gone)
        removed = 0 if repository is None else await self._let_go(repository, gone)
        again = _next_look([at + span for at in tags.values() or [one.pushed_at]], now)
        await self.metadata.write(partial(manifest_expiry.postpone, times=[(one.manifest_id, again)]), name="expiry")
        return removed

    async def _let_go(self, repository: RepositoryRecord, gone: Sequence[StoredVerdict]) -> int:
        return await Removing(
            metadata=self.metadata,
            settings=self.settings,
            repository=repository,
            actor=INTERNAL,
            detail={"expired": LABEL},
            deletion=new_deletion(),
        ).remove_all(gone)


def _next_look(ends: Sequence[int], now: int) -> int:
    """Say when to look again: when the next one ends, or at what could not go in as much time as it has been waiting.

    So what cannot go (a rule keeps it, an index lists it, it is in the trash) is looked at ever more seldom, down to
    once a day: when it may go at last, it goes within a day.
    """
    waiting = min(max(now - max(ends), _SHORTEST_WAIT), _LONGEST_WAIT)
    return min([end for end in ends if end > now], default=now + waiting)


def _lasted(one: Expiring, tags: Mapping[str, int], until: int) -> list[StoredVerdict]:
    """Return the tags that were pushed until a moment; where there are none, the manifest."""
    found: list[tuple[str | None, int]] = [*tags.items()] or [(None, one.pushed_at)]
    return [
        StoredVerdict(tag, one.digest, one.manifest_id, pushed_at, kept=False, rule=None, reason=LABEL)
        for tag, pushed_at in found
        if pushed_at <= until
    ]


def parsed(text: object) -> int | None:
    """Return the seconds that a label means: 30m, 12h, 2d, 3w; None when it means nothing."""
    match = _SPAN.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    return None if match is None or int(match[1]) == 0 else int(match[1]) * _SECONDS[match[2]]


def _labelled(config: bytes | None) -> int | None:
    try:
        value = loads(config or b"{}")
    except JsonInvalid:
        return None
    inner = value.get("config") if isinstance(value, dict) else None
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    return parsed(labels.get(LABEL)) if isinstance(labels, dict) else None
