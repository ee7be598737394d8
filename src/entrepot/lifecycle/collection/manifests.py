"""Manifests that belonged to something that went: images of an index, and what referred to a subject."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from entrepot.lifecycle.collection.model import Collecting, Tally
from entrepot.metadata import clock, trash_namespaces
from entrepot.metadata.contents import manifests
from entrepot.metadata.database import Transaction
from entrepot.metadata.lifecycle import collection, review
from entrepot.metadata.lifecycle.collection import ManifestUnderReview
from entrepot.metadata.lifecycle.review import ReviewEntry


@dataclass(slots=True)
class ManifestVerdicts:
    """What becomes of manifests that are due."""

    leave: list[ManifestUnderReview] = field(default_factory=list)
    #: They stand for themselves again.
    keep: list[int] = field(default_factory=list)
    #: Somebody found them: when they may be looked at again, by their row ids.
    later: dict[int, int] = field(default_factory=dict)


def judge(found: Sequence[ManifestUnderReview], now: int) -> ManifestVerdicts:
    """Decide about manifests.

    One that was pushed or tagged for itself since is not queued any more, and stays. One that lies in the trash goes
    when its time there is over.
    """
    verdicts = ManifestVerdicts()
    for manifest in found:
        row = manifest.row
        if row.review_after is None or trash_namespaces.is_shadow(manifest.repository.name):
            continue
        if manifest.needed:
            verdicts.keep.append(row.id)
        elif row.review_after > now:
            verdicts.later[row.id] = row.review_after
        else:
            verdicts.leave.append(manifest)
    return verdicts


async def review_manifests(work: Collecting, entries: Sequence[ReviewEntry], tally: Tally) -> None:
    """Look at manifests that are due, some in each transaction."""
    size = work.limits.manifests
    for start in range(0, len(entries), size):
        some = entries[start : start + size]
        tally.manifests += await work.metadata.write(partial(_review, work, some), name="collect manifests")


async def _review(work: Collecting, entries: Sequence[ReviewEntry], tx: Transaction) -> int:
    found = await collection.manifests_locked(tx, sorted({entry.subject_id for entry in entries}))
    verdicts = judge(found, clock.now())
    gone = sum([await work.leave(tx, manifest) for manifest in verdicts.leave])
    await manifests.keep(tx, verdicts.keep)
    await put_off(tx, entries, verdicts.later)
    return gone


async def put_off(
    tx: Transaction, entries: Sequence[ReviewEntry], later: dict[int, int], stay: Collection[int] = ()
) -> None:
    """Take entries out of the queue, but for one of each subject that stays or is to be looked at later."""
    one = {entry.subject_id: entry.id for entry in entries}
    await review.postpone(tx, {one[subject]: time for subject, time in later.items()})
    kept = {entry for subject, entry in one.items() if subject in later or subject in stay}
    await review.remove(tx, [entry.id for entry in entries if entry.id not in kept])
