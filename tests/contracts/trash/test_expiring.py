"""What is past its time goes for good, and earlier when that is asked for, over every database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest

from entrepot.lifecycle.trash.expiry import Expired, Expiry
from entrepot.metadata import clock, clock_check, trash_namespaces
from entrepot.metadata import (
    settings as kept,
)
from entrepot.metadata.clock_check import Verdict, successor
from entrepot.metadata.contents import blobs, manifests, repositories, repository_blobs
from entrepot.metadata.database import Transaction
from entrepot.metadata.engine import low_priority_writes
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.lifecycle.trash import TrashEntry
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.registry.repositories import Repositories
from entrepot.registry.repository_removal import Emptied
from entrepot.telemetry.progress import Progress, Stopped, Unwatched
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import DAY, WEEK, Bin
from tests.support.manifests import entry, image, index

OTHER = RepositoryName.parse("team/other")
_EVENTS = RawQuery("SELECT kind, actor, digest FROM events ORDER BY id")


class Killed(BaseException):
    """The process has ended here."""


class Impatient(Unwatched):
    """Stops the work after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    async def step(self, done: int, total: int | None = None) -> None:
        """Count down."""
        self.left -= 1
        if self.left < 0:
            raise Stopped


async def test_nothing_goes_for_its_age_while_the_clock_is_in_doubt(bin_: Bin) -> None:
    """Not by its time and not for the room; what somebody asks for goes."""
    await bin_.pusher().image("v1", b"one")
    await bin_.delete("v1")
    await bin_.age(WEEK)
    jumped = replace(clock_check.Moment.now(), wall=clock.after(-10 * 86400))
    note = successor(None, jumped, Verdict())
    text = json.dumps(asdict(note))
    await bin_.database.write(lambda tx: kept.put(tx, clock_check.KEY, text))
    assert (await bin_.expire()).entries == 0
    assert (await bin_.expiry.expire(Unwatched(), release=1)).entries == 0
    assert (await bin_.expiry.expire(Unwatched(), everything=True)).entries == 1


async def test_everything_goes_after_its_time_and_not_before(bin_: Bin) -> None:
    """Then nobody refers to the blobs any more, and they wait for collection."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.pusher().image("v2", b"two")
    await bin_.delete("v2")
    await bin_.delete(body)
    await bin_.pusher(OTHER).image("v1", b"three")
    await bin_.registry.repositories.delete(OTHER, actor=ALICE)
    await bin_.age(WEEK - DAY)
    assert (await bin_.expire()).entries == 0
    assert (await bin_.expiry.due(), await bin_.expiry.due(everything=True)) == (0, 3)
    assert len(await bin_.entries()) == 3
    await bin_.age(DAY)
    done = await bin_.expire()
    assert (done.entries, done.manifests, done.bytes) == (3, 2, len(b"one") + len(b"three"))
    assert await bin_.entries() == []
    assert await manifests.content(bin_.database, str(Digest.of(body))) is None
    for content in (b"one", b"three"):
        found = await blobs.find(bin_.database, str(Digest.of(content)))
        assert found is not None
        assert found.review_after is not None
    assert not await bin_.has("v2")
    assert await repositories.find_exact(bin_.database, trash_namespaces.of_manifests(1)) is None


async def test_early_the_oldest_go_until_enough_is_free(bin_: Bin) -> None:
    """And no more than that; what is shared with others frees nothing."""
    bodies = [await bin_.pusher().image(f"v{n}", b"%d" % n * 1000, b"shared" * 100) for n in range(4)]
    for body in bodies[:3]:
        await bin_.delete(body)
    done = await bin_.expire(release=1500)
    assert (done.entries, done.bytes) == (2, 2000)
    assert [one.tags for one in await bin_.entries()] == [("v2",)]
    assert (await bin_.expire(release=1)).entries == 1
    assert (await bin_.expire(release=1)).entries == 0


async def test_the_later_of_two_entries_keeps_a_manifest(bin_: Bin) -> None:
    """Deleted, pushed again and deleted a second time, it is there for as long as the second says."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete(body)
    await bin_.age(DAY)
    await bin_.pusher().image("v2", b"one")
    await bin_.delete(body)
    await bin_.age(WEEK - DAY)
    assert (await bin_.expire()).manifests == 0
    await bin_.restore(await bin_.entry(trash.MANIFEST, "v2"))
    assert await bin_.has("v2")


async def test_an_index_goes_with_its_parts(bin_: Bin) -> None:
    """All entries of one deletion end at one moment."""
    first = await bin_.pusher().image(None, b"one")
    body = index(entry(first))
    await bin_.pusher().manifest(body, "multi")
    await bin_.pusher().manifest(image(b"{}", subject=entry(body)))
    await bin_.delete(body)
    await bin_.review()
    await bin_.age(WEEK)
    assert (await bin_.expire()).manifests == 3
    assert await bin_.entries() == []


async def _two_indexes(bin_: Bin) -> tuple[bytes, bytes, bytes]:
    """Push an image with a signature, which two indexes list; return it, then these."""
    pusher = bin_.pusher()
    child = await pusher.image(None, b"one")
    await pusher.manifest(image(b"{}", subject=entry(child)))
    first, second = index(entry(child)), index(entry(child), annotations={"n": "2"})
    await pusher.manifest(second, "second")  # pushed before the other: it is not the age that counts
    await pusher.manifest(first, "first")
    return child, first, second


async def _has_all(bin_: Bin, child: bytes, tag: str) -> bool:
    signatures, _ = await bin_.registry.referrers.list(NAME, Digest.of(child), limit=9)
    return await bin_.has(tag) and await bin_.has(child) and len(signatures) == 1


async def test_an_image_is_kept_for_as_long_as_the_last_index_that_lists_it(bin_: Bin) -> None:
    """Deleted three days after the other, it comes back whole when the other is gone for good."""
    child, first, second = await _two_indexes(bin_)
    await bin_.delete(first)
    await bin_.review()
    assert await bin_.has(child)
    await bin_.age(3 * DAY)
    await bin_.delete(second)
    await bin_.review()
    await bin_.age(5 * DAY)
    assert (await bin_.expire()).manifests == 1
    await bin_.restore(await bin_.entry(trash.MANIFEST, "second"))
    assert await _has_all(bin_, child, "second")
    assert await bin_.entries() == []


async def test_an_image_whose_time_is_over_stays_with_an_index_that_lists_it(bin_: Bin) -> None:
    """With its signature, though it was deleted for itself when the trash kept things for a day only."""
    child, first, second = await _two_indexes(bin_)
    for one in (first, second):
        await bin_.delete(one)
    await bin_.with_settings(trash_seconds=DAY).delete(child)
    await bin_.review()
    await bin_.age(2 * DAY)
    assert (await bin_.expire()).manifests == 0
    await bin_.restore(await bin_.entry(trash.MANIFEST, "second"))
    assert await _has_all(bin_, child, "second")
    await bin_.expire(everything=True)
    assert await _has_all(bin_, child, "second")
    assert await bin_.entries() == []


async def test_while_deleting_is_off_nothing_expires(bin_: Bin) -> None:
    """Nor while the registry is read-only."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete(body)
    await bin_.age(WEEK)
    for settings in ({"delete_enabled": False}, {"read_only": lambda: True}):
        assert (await bin_.with_settings(**settings).expire(everything=True)).entries == 0
    assert (await bin_.expire()).entries == 1


async def test_it_can_be_stopped_and_goes_on(bin_: Bin) -> None:
    """What is left of a repository in the middle is removed by the next run."""
    for number in range(45):
        await bin_.pusher().image(f"v{number}", b"layer %d" % number)
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    with pytest.raises(Stopped):
        await bin_.expiry.expire(Impatient(1), everything=True)
    assert await bin_.kinds() == [trash.REPOSITORY]
    done = await bin_.expire(everything=True)
    assert 0 < done.manifests < 45
    assert await bin_.entries() == []


async def test_a_repository_whose_removal_was_interrupted_is_finished(
    bin_: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the trash keeps nothing, a kill in the middle leaves an entry that is past its time."""
    await bin_.pusher().image("v1", b"one")
    at_once = bin_.with_settings(trash_seconds=0.0)

    async def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Repositories, "empty", killed)
        with pytest.raises(Killed):
            await at_once.registry.repositories.delete(NAME, actor=ALICE)
    assert not await at_once.has("v1")
    assert (await at_once.expire()).manifests == 1
    assert await at_once.entries() == []


async def test_what_repositories_let_go_of_is_forgotten(bin_: Bin) -> None:
    """Once no push can need it any more."""
    quick = bin_.with_settings(grace_seconds=0.0)
    body = await quick.pusher().image("v1", b"one")
    await quick.delete(body)
    row = await repositories.find_exact(quick.database, NAME)
    assert row is not None

    async def held(tx: Transaction) -> bool:
        return bool(await repository_blobs.held(tx, row.id, [str(Digest.of(b"one"))]))

    assert await quick.database.write(held)
    await quick.expire()
    assert not await quick.database.write(held)
    await quick.restore(await quick.entry(trash.MANIFEST))
    assert (await quick.registry.blobs.get(NAME, Digest.of(b"one"))).size == 3


async def test_the_audit_log_tells_who_removed_it(bin_: Bin) -> None:
    """The registry itself, when the time is over."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete(body)
    await bin_.expire(everything=True)
    rows = await bin_.database.all(_EVENTS)
    assert rows[-1] == ("expire", "entrepot", str(Digest.of(body)))


async def test_others_write_between_small_steps(bin_: Bin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository goes four manifests at a time, and after each transaction for as long as it took nothing does."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    for number in range(10):
        await bin_.pusher(OTHER).image(f"v{number}", f"layer {number}".encode())
    await bin_.registry.repositories.delete(OTHER, actor=ALICE)
    found = await bin_.database.one(_GONE)
    assert found is not None
    repository = await repositories.find_by_id(bin_.database, found[0])
    assert repository is not None
    steps: list[int] = []

    async def on_step(step: Emptied) -> None:
        steps.append(step.manifests)

    monkeypatch.setattr(low_priority_writes.asyncio, "sleep", counted)
    await bin_.registry.repositories.empty(repository, on_step)
    assert steps[:3] == [4, 4, 2]
    assert len(pauses) == len(steps) + 1
    assert all(0 < pause <= 0.1 for pause in pauses)


_GONE = RawQuery("SELECT id FROM repositories WHERE name LIKE '~deleted/%'")


class Overtaken(Expiry):
    """Finds that another process was faster."""

    async def remove(self, entries: Sequence[TrashEntry], progress: Progress, **how: Any) -> Expired:
        """Let the other one take everything away first."""
        await self.expire(Unwatched(), everything=True)
        return await super().remove(entries, progress, **how)


async def test_emptying_beside_a_server_tells_all_that_went(bin_: Bin) -> None:
    """What another process takes away meanwhile is gone, too, and is told of."""
    for number in range(3):
        await bin_.pusher().image(f"v{number}", f"layer {number}".encode())
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    overtaken = Overtaken(bin_.database, bin_.settings, bin_.registry.project_deletion)
    told = await replace(bin_.trash, expiry=overtaken).empty(None, by=ALICE)
    assert (told.manifests, told.is_left, await bin_.entries()) == (3, False, [])
