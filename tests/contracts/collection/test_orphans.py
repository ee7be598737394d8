"""The store against the metadata, both ways: what crashes and lost races left is found, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import bindparam, delete, update

from entrepot.lifecycle.collection import orphans as module
from entrepot.lifecycle.collection.model import CollectionOff
from entrepot.lifecycle.collection.orphans import Orphans, OrphanTally
from entrepot.metadata import clock, settings
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, manifest_contents, review_queue
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.collection.conftest import GRACE, House
from tests.contracts.registry.pushing import ALICE, NAME

_SET = Query(
    update(blobs).where(blobs.c.digest == bindparam("which")).values(state=bindparam("to")), "test.orphans.set"
)
_FORGET_QUEUE = Query(delete(review_queue), "test.orphans.forget_queue")
_FORGET_TIMES = Query(update(blobs).values(review_after=None), "test.orphans.forget_times")
_ADD_CONTENT = Query(
    lambda d: d.insert(manifest_contents).values(digest=bindparam("digest"), content=b"{}"), "test.orphans.add_content"
)


def _orphans(house: House, **changes: object) -> Orphans:
    quarantine = Quarantine(house.kit.metadata, house.kit.store, lambda: False)
    return Orphans(replace(house.work, **changes), quarantine)  # type: ignore[arg-type] - the tests name real fields


async def _find(house: House, **changes: object) -> OrphanTally:
    return await _orphans(house, **changes).run(Unwatched())


def _leave(house: House, content: bytes, age: float = 2 * GRACE) -> str:
    """Leave a file of which nothing speaks, as a process does that dies between publishing and committing."""
    key = str(Digest.of(content))
    house.store._blobs[key] = content
    house.store._placed_at[key] = clock.after(-age)
    return key


async def test_a_file_without_a_row_goes(house: House) -> None:
    """One that a crash left; not one that a push may have put there a moment ago."""
    await house.pusher.image("v1", b"layer")
    old, young = _leave(house, b"left behind"), _leave(house, b"just published", age=1.0)
    found = await _find(house)
    assert (found.files, found.missing, found.queued, found.contents) == (1, 0, 0, 0)
    tally = await house.collect()
    assert (tally.files, tally.freed_bytes) == (1, len(b"left behind"))
    assert old not in await house.keys()
    assert young in await house.keys()
    assert await house.blob(b"left behind") is None


async def test_files_that_manifests_and_other_digests_use_are_no_orphans(house: House) -> None:
    """The bytes of a manifest, and those of a blob under another key than its digest."""
    body = await house.pusher.image("v1", b"layer")
    _leave(house, body)
    shared = _leave(house, b"shared")

    async def adopt(tx: Transaction) -> None:
        await blob_rows.put(
            tx,
            str(Digest.of(b"shared", "sha512")),
            size=6,
            storage_key=shared,
            review_after=None,
            verified=False,
        )

    await house.kit.metadata.write(adopt)
    assert (await _find(house)).files == 0


async def test_a_push_of_the_same_bytes_is_safe_while_an_orphan_goes(house: House) -> None:
    """Queued as an orphan, then pushed: the file is a blob's now, and stays."""
    _leave(house, b"layer")
    assert (await _find(house)).files == 1
    await house.pusher.image("v1", b"layer")
    tally = await house.collect_until_nothing_is_left()
    assert tally.files == 0
    assert (await house.registry.blobs.get(NAME, Digest.of(b"layer"))).size == 5


@pytest.mark.parametrize("loss", ["gone", "cut"])
async def test_a_blob_whose_bytes_are_gone_is_taken_out_of_sight(house: House, loss: str) -> None:
    """A client that is told so pushes it again, and that heals the image."""
    body = await house.pusher.image("v1", b"layer")
    key = str(Digest.of(b"layer"))
    house.store._blobs.pop(key) if loss == "gone" else house.store._blobs.update({key: b"lay"})
    assert (await _find(house)).missing == 1
    with pytest.raises(BlobUnknown):
        await house.registry.blobs.stat(NAME, Digest.of(b"layer"))
    await house.pusher.blob(b"layer")
    assert (await house.registry.blobs.stat(NAME, Digest.of(b"layer"))).size == 5
    assert (await house.registry.manifests.get(NAME, Digest.of(body), content=False)).size == len(body)
    assert (await _find(house)).missing == 0


async def test_a_disk_that_is_not_mounted_loses_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Where not one file is there it is said, and nothing is taken out of sight: it is all there once the disk is."""
    body = await house.pusher.image("v1", b"layer")
    kept, house.store._blobs = house.store._blobs, {}
    assert (await _find(house)).missing == 0
    assert "mounted" in caplog.text
    house.store._blobs = kept
    assert (await house.registry.blobs.stat(NAME, Digest.of(b"layer"))).size == 5
    assert (await house.registry.manifests.get(NAME, Digest.of(body), content=True)).content == body
    assert (await _find(house)).missing == 0


async def test_what_fell_out_of_the_queue_is_queued_again(house: House) -> None:
    """What has been due for long, and a dead collector's claim, go at once."""
    for content in (b"overdue", b"claimed"):
        await house.pusher.blob(content)
    await house.kit.metadata.write(lambda tx: tx.execute(_FORGET_QUEUE))
    house.clock.advance(3 * GRACE)
    await house.kit.metadata.write(lambda tx: tx.execute(_SET, which=str(Digest.of(b"claimed")), to="deleting"))
    assert (await _find(house)).queued == 2
    assert (await house.collect()).blobs == 2
    assert await house.count("blobs") == 0


async def test_a_forgotten_blob_gets_its_grace(house: House) -> None:
    """Nobody renewed a time that was not there, so somebody may rely on it now."""
    await house.pusher.blob(b"forgotten")
    await house.kit.metadata.write(lambda tx: tx.execute(_FORGET_QUEUE))
    await house.kit.metadata.write(lambda tx: tx.execute(_FORGET_TIMES))
    house.clock.advance(3 * GRACE)
    assert (await _find(house)).queued == 1
    assert (await house.collect()).blobs == 0
    house.clock.advance(GRACE + 1)
    assert (await house.collect()).blobs == 1


async def test_what_waits_for_its_time_is_not_queued_twice(house: House) -> None:
    """However often one looks."""
    await house.pusher.blob(b"waiting")
    for _ in range(3):
        assert await _find(house) == OrphanTally(looked_at=2)
    assert await house.count("review_queue") == 1


async def test_contents_without_a_manifest_go(house: House) -> None:
    """With their file."""
    key = _leave(house, b"{}")
    await house.kit.metadata.write(lambda tx: tx.execute(_ADD_CONTENT, digest=key))
    assert (await _find(house)).contents == 1
    assert (await house.collect()).files == 1
    assert await house.keys() == set()


async def test_a_comparison_goes_on_where_it_was_stopped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at is not looked at again."""
    monkeypatch.setattr(module, "_PIECE", 10)
    monkeypatch.setattr(module, "_NOTED", 10)
    keys = sorted(_leave(house, b"%d" % number) for number in range(35))

    class Stopping(Unwatched):
        async def step(self, done: int, total: int | None = None) -> None:
            if done > 20:
                raise Stopped

    with pytest.raises(Stopped):
        await _orphans(house).run(Stopping())
    known = json.loads(await settings.find(house.kit.metadata, "collection-whole") or "")
    assert (known["part"], known["at"]) == ("files", keys[19])
    assert await _find(house) == OrphanTally(looked_at=15, files=15)
    assert (await house.collect()).files == 35
    assert await _find(house) == OrphanTally()


async def test_pieces_come_to_all_of_it_and_begin_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs what it is told to, however much there is; after the last one it is known when the first began."""
    monkeypatch.setattr(module, "_PIECE", 10)
    for number in range(35):
        _leave(house, b"%d" % number)
    await house.pusher.image("v1", b"layer")
    found = []
    while not await _orphans(house).is_fresh(60):
        found.append(await _orphans(house).some(Unwatched(), 20))
        assert found[-1].looked_at <= 30
    assert (sum(one.files for one in found), len(found)) == (35, 3)
    assert not await _orphans(house).is_fresh(0)
    assert (await _orphans(house).some(Unwatched(), 20)).looked_at == 20
    assert not await _orphans(house).is_fresh(60)


async def test_a_comparison_that_was_stopped_still_finds_what_is_gone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not known yet whether any file is there: whoever goes on looks at those once more."""
    monkeypatch.setattr(module, "_PIECE", 1)
    monkeypatch.setattr(module, "_NOTED", 1)
    for content in (b"gone", b"there"):
        await house.pusher.blob(content)
    del house.store._blobs[str(Digest.of(b"gone"))]

    class Stopping(Unwatched):
        async def step(self, done: int, total: int | None = None) -> None:
            if done > 2:  # the file, and the first row
                raise Stopped

    with pytest.raises(Stopped):
        await _orphans(house).run(Stopping())
    assert (await _find(house)).missing == 1


async def test_nothing_is_looked_for_while_the_gate_is_closed(house: House) -> None:
    """What another registry wrote would be taken for garbage."""
    _leave(house, b"foreign")

    async def closed() -> str | None:
        return "another registry has written to the folder"

    with pytest.raises(CollectionOff, match="another registry"):
        await _find(house, gate=closed)
    assert await house.count("review_queue") == 0


async def test_a_blob_that_was_deleted_on_purpose_is_no_orphan_before_its_time(house: House) -> None:
    """Its row is there until the collector takes both."""
    await house.pusher.blob(b"layer")
    await house.registry.blobs.delete(NAME, Digest.of(b"layer"), actor=ALICE)
    assert (await _find(house)).files == 0
    assert await house.keys() == {str(Digest.of(b"layer"))}


async def test_a_comparison_of_a_clock_that_was_ahead_is_repeated(house: House) -> None:
    """It seems to begin in the future, and would count as fresh for as long as the clock was ahead."""
    house.clock.advance(86_400)
    await _orphans(house).some(Unwatched(), 1000)
    assert await _orphans(house).is_fresh(7 * 86_400)
    house.clock.advance(-86_400)
    assert not await _orphans(house).is_fresh(7 * 86_400)
