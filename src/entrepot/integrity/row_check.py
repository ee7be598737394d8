"""Rows held against each other: counts, links, what waits for a collection, tags, bytes of no manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

from entrepot.integrity.examination import Examination
from entrepot.integrity.model import Outcome, Problem
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs, kept_sums, manifests, repository_blobs
from entrepot.metadata.database import Transaction
from entrepot.metadata.integrity import derived_rows, verification
from entrepot.metadata.integrity.derived_rows import Stray, Unlinked, WrongCount
from entrepot.metadata.lifecycle import review
from entrepot.metadata.usage import usage_recount
from entrepot.metadata.usage.usage_recount import WrongSum

CHECK = "rows"
#: Row ids that one statement looks at.
_WINDOW = 500
#: Projects that one statement names.
_PROJECTS = 100
_REASON = "found by doctor"

#: Looks at a window of row ids.
_Look = Callable[[int, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RowCheck:
    """Looks at rows, a window of them at a time."""

    work: Examination

    async def run(self) -> None:
        """Look at everything that follows from other rows."""
        last_blob, last_tag = await derived_rows.last_ids(self.work.metadata)
        for look in (self._places, self._links, self._counts, self._reviews):
            await self._each(look, last_blob)
        await self._each(self._tags, last_tag)
        await self._contents()
        await self._sums()
        await self._kept()

    async def _each(self, look: _Look, last: int) -> None:
        for first in _windows(last):
            await look(first, first + _WINDOW - 1)
            await self.work.progress.step(min(first + _WINDOW, last), last)

    async def _places(self, first: int, last: int) -> None:
        found = await derived_rows.misplaced(self.work.metadata, first, last)
        if found and self.work.repair:
            ids = [one.id for one in found]
            await self.work.metadata.write(lambda tx: derived_rows.place(tx, ids), name="place references")
        for one in found:
            await self._tell("reference misplaced", one.name, "its references say that it is in another repository")

    async def _links(self, first: int, last: int) -> None:
        found = await derived_rows.unlinked(self.work.metadata, first, last)
        if found and self.work.repair:
            await self.work.metadata.write(partial(_link, found), name="link blobs")
        for one in found:
            await self._tell("link missing", f"{one.repository}@{one.digest}", "a manifest there needs this blob")

    async def _counts(self, first: int, last: int) -> None:
        found = await derived_rows.wrong_counts(self.work.metadata, first, last)
        if found and self.work.repair:
            found = await self.work.metadata.write(partial(_correct, first, last), name="correct counts")
        for one in found:
            way = "few" if one.difference > 0 else "many"
            detail = f"project {one.project} counts {abs(one.difference)} manifests too {way} that need it"
            await self._tell("count wrong", one.digest, detail)

    async def _reviews(self, first: int, last: int) -> None:
        found = await derived_rows.unreviewed(self.work.metadata, first, last)
        if found and self.work.repair:
            await self.work.metadata.write(partial(_queue, self.work.grace_seconds, found), name="queue blobs")
        for one in found:
            await self._tell("never reviewed", one.name, "nothing refers to this blob, and no collection looks at it")

    async def _tags(self, first: int, last: int) -> None:
        for one in await derived_rows.tags_astray(self.work.metadata, first, last):
            problem = Problem(
                check=CHECK, what="tag astray", subject=one.name, detail="it names a manifest of another repository"
            )
            await self.work.found(problem)

    async def _contents(self) -> None:
        last = ""
        while digests := await verification.manifest_digests(self.work.metadata, after=last, limit=_WINDOW):
            last = digests[-1]
            for digest in await derived_rows.unused_contents(self.work.metadata, digests):
                if self.work.repair:
                    await self.work.metadata.write(
                        partial(manifests.remove_content, digest=digest), name="remove unused manifest"
                    )
                await self._tell("manifest unused", digest, "its bytes are kept and belong to no repository")

    async def _sums(self) -> None:
        """Look what projects are charged; after everything that it is made of."""
        last = 0
        while projects := await usage_recount.projects_after(self.work.metadata, last, _PROJECTS):
            last = projects[-1]
            for project_id in projects:
                wrong = await usage_recount.wrong_sum(self.work.metadata, project_id)
                if wrong is not None and self.work.repair:
                    wrong = await self.work.metadata.write(partial(_settle, project_id), name="correct sums")
                if wrong is not None:
                    await self._tell("sums wrong", wrong.project, f"what it uses, to be corrected by {wrong.by}")

    async def _kept(self) -> None:
        """Look what lists and figures show, where nothing is still being added to that."""
        last_manifest, last_repository = await kept_sums.last_ids(self.work.metadata)
        if await kept_sums.complete(self.work.metadata, kept_sums.ARTIFACTS):
            await self._each(self._listed, last_manifest)
            await self._each(self._artifact_counts, last_repository)
        if await kept_sums.complete(self.work.metadata, kept_sums.BYTES):
            await self._bytes()

    async def _listed(self, first: int, last: int) -> None:
        found = await kept_sums.astray(self.work.metadata, first, last)
        if found and self.work.repair:
            ids = [row_id for row_id, _ in found]
            await self.work.metadata.write(partial(kept_sums.look_at, ids=ids), name="correct lists")
        for _, name in found:
            await self._tell("list wrong", name, "lists of artifacts show it and should not, or the other way round")

    async def _artifact_counts(self, first: int, last: int) -> None:
        found = await kept_sums.wrong_counts(self.work.metadata, first, last)
        if found and self.work.repair:
            ids = [row_id for row_id, _, _ in found]
            await self.work.metadata.write(partial(kept_sums.recount, ids=ids), name="correct counts")
        for _, name, lacking in found:
            await self._tell("sums wrong", name, f"its number of artifacts, to be corrected by {lacking:+}")

    async def _bytes(self) -> None:
        lacking = await kept_sums.missing_bytes(self.work.metadata)
        if lacking and self.work.repair:
            await self.work.metadata.write(kept_sums.forget_blobs, name="correct sums")
            while not await self.work.metadata.write(kept_sums.add_blobs, name="correct sums"):
                await self.work.progress.step(0)
        if lacking:
            await self._tell("sums wrong", "all blobs", f"their bytes, to be corrected by {lacking:+}")

    async def _tell(self, what: str, subject: str, detail: str) -> None:
        outcome = Outcome.REPAIRED if self.work.repair else Outcome.FOUND
        await self.work.found(Problem(check=CHECK, what=what, subject=subject, detail=detail, outcome=outcome))


def _windows(last: int) -> Iterator[int]:
    return iter(range(1, last + 1, _WINDOW))


async def _link(found: list[Unlinked], tx: Transaction) -> None:
    for one in found:
        await repository_blobs.link(tx, one.repository_id, one.blob_id)


async def _correct(first: int, last: int, tx: Transaction) -> list[WrongCount]:
    """Ask again within the transaction, where no push is beside it, and correct what is wrong then."""
    found = await derived_rows.wrong_counts(tx, first, last)
    await derived_rows.correct(tx, found)
    return found


async def _settle(project_id: int, tx: Transaction) -> WrongSum | None:
    return await usage_recount.settle(tx, project_id)


async def _queue(grace_seconds: float, found: list[Stray], tx: Transaction) -> None:
    after, ids = clock.after(grace_seconds), [one.id for one in found]
    await blobs.queue(tx, ids, review_after=after)
    await review.add(tx, review.BLOB, ids, after=after, reason=_REASON)
