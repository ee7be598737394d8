"""The scrub finds all damage in one pass, heals what is whole again, and goes on where it was stopped."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from datetime import datetime

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.integrity.scrub import Pass, StorageGone, find_pass
from entrepot.jobs.model import JobKind
from entrepot.jobs.scrub import SCRUB, Scrubbing
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs
from entrepot.metadata.integrity import findings, verification
from entrepot.oci.digest import Digest
from entrepot.oci.errors import Unavailable
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.integrity.conftest import Ward
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import Pusher
from tests.support.job_runs import ask, until, worker

LAYERS = [f"layer {number}".encode() for number in range(20)]


@pytest.fixture
async def images(pusher: Pusher) -> list[bytes]:
    """Push an image for each layer; they share a configuration."""
    return [await pusher.image(f"v{number}", layer) for number, layer in enumerate(LAYERS)]


async def test_one_pass_finds_all_damage(ward: Ward, images: list[bytes]) -> None:
    """Flipped, missing and cut blobs and damaged manifests are out of sight after it, and nothing else is."""
    wrong = {ward.damage(LAYERS[3]), ward.damage(LAYERS[7])}
    missing = {ward.lose(LAYERS[11])}
    cut = Digest.of(LAYERS[15])
    ward.store._blobs[str(cut)] = LAYERS[15][:2]
    broken = Digest.of(images[5])
    await ward.sql(f"UPDATE manifest_contents SET content = {_binary(ward)} WHERE digest = '{broken}'")
    seen = await ward.scrubbed()
    assert (seen.found, seen.healed, seen.unreadable) == (5, 0, 0)
    assert (seen.manifests_read, seen.blobs_read) == (20, 21)
    expected = [(findings.BLOB_DAMAGED, str(digest)) for digest in (*wrong, cut)]
    expected += [(findings.BLOB_MISSING, str(digest)) for digest in missing]
    expected += [(findings.MANIFEST_DAMAGED, str(broken))]
    assert await ward.open_findings() == sorted(expected)
    states = [await ward.state(layer) for layer in LAYERS]
    assert [number for number, state in enumerate(states) if state != blobs.LIVE] == [3, 7, 11, 15]
    assert {by for _, by in ward.told} == {"scrub"}
    assert (await ward.scrubbed()).found == 1, "blobs are out of sight; the manifest is read again"


def _binary(ward: Ward) -> str:
    return "X'7B7D'" if ward.kit.metadata.dialect == "sqlite" else "'\\x7b7d'"


async def test_what_is_whole_again_comes_back(ward: Ward, images: list[bytes]) -> None:
    """Bytes that somebody put back from a backup end the finding without a push."""
    ward.damage(LAYERS[0])
    ward.lose(LAYERS[1])
    await ward.scrubbed()
    ward.put_back(LAYERS[0])
    ward.put_back(LAYERS[1])
    assert (await ward.scrubbed()).healed == 2
    assert await ward.open_findings() == []
    assert [await ward.state(layer) for layer in LAYERS[:2]] == [blobs.LIVE, blobs.LIVE]
    assert len(images) == 20


async def test_what_was_verified_lately_is_not_read_again(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """But what is out of sight is, each time."""
    ward.damage(LAYERS[2])
    await ward.scrubbed()
    again = await ward.scrub(age=3600.0).run(Unwatched())
    assert (again.blobs_read, again.skipped, again.found) == (1, 20, 0)
    assert (await blobs.stored(kit.metadata, after=0, limit=1))[0].verified_at is not None
    assert len(images) == 20


class _StopAfter(Unwatched):
    """Somebody who asks for the end after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    async def step(self, done: int, total: int | None = None) -> None:
        del done, total
        self.left -= 1
        if self.left < 0:
            raise Stopped


async def test_a_stopped_scrub_goes_on_where_it_was(
    ward: Ward, kit: Kit, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No blob is read twice but the one at hand, and the pass knows what both runs saw."""
    monkeypatch.setattr("entrepot.integrity.scrub._NOTE_SECONDS", -1.0)
    ward.damage(LAYERS[1])
    ward.damage(LAYERS[18])
    with pytest.raises(Stopped):
        await ward.scrubbed(_StopAfter(10))
    half = await find_pass(kit.metadata)
    assert half is not None
    assert half.finished_at is None
    assert 0 < half.blobs_read < 21
    whole = await ward.scrubbed()
    assert (whole.blobs_read, whole.manifests_read, whole.found) == (21, 20, 2)
    assert whole.started_at == half.started_at
    assert whole.finished_at is not None
    assert whole.finished_at <= clock.now()
    assert (await ward.scrubbed()).started_at > whole.started_at, "the next run begins a new pass"
    assert len(images) == 20


async def test_a_storage_that_is_gone_loses_nothing(ward: Ward, images: list[bytes]) -> None:
    """A disk that is not mounted makes no blob missing: the scrub fails and says what it thinks."""
    kept = dict(ward.store._blobs)
    ward.store._blobs.clear()
    with pytest.raises(StorageGone, match="is the disk with the blobs there"):
        await ward.scrubbed()
    assert [await ward.state(layer) for layer in LAYERS] == [blobs.LIVE] * 20
    assert await ward.open_findings() == []
    ward.store._blobs.update(kept)
    assert (await ward.scrubbed()).found == 0
    assert len(images) == 20


async def test_a_blob_that_cannot_be_read_is_told_and_not_condemned(
    ward: Ward, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk says nothing about the bytes."""
    real = MemoryBlobStore.stream

    def failing(
        store: MemoryBlobStore, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        return _broken() if key == str(Digest.of(LAYERS[4])) else real(store, key, start, length)

    monkeypatch.setattr(MemoryBlobStore, "stream", failing)
    seen = await ward.scrubbed()
    assert (seen.found, seen.unreadable) == (0, 1)
    assert await ward.state(LAYERS[4]) == blobs.LIVE
    assert len(images) == 20


async def _broken() -> AsyncGenerator[bytes, None]:
    if LAYERS:
        raise Unavailable(message="the blob storage failed: Input/output error")
    yield b""


async def test_a_read_only_registry_is_read_only(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """Damage is counted and told; rows stay as they are, and so does the note of how far the pass is."""
    ward.damage(LAYERS[0])
    ward.read_only = True
    before = kit.metadata.statistics.transactions
    assert (await ward.scrubbed()).found == 1
    assert kit.metadata.statistics.transactions == before
    assert await find_pass(kit.metadata) is None
    assert len(images) == 20


async def test_a_blob_that_went_meanwhile_is_no_finding(
    ward: Ward, kit: Kit, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector took row and bytes between the look at the row and the look at the bytes."""
    real = MemoryBlobStore.stat
    gone = str(Digest.of(LAYERS[9]))

    async def collect_first(store: MemoryBlobStore, key: str) -> object:
        if key == gone and key in store._blobs:
            await store.delete(key)
            await ward.sql(f"UPDATE blobs SET state = 'deleting', generation = generation + 1 WHERE digest = '{gone}'")
        return await real(store, key)

    monkeypatch.setattr(MemoryBlobStore, "stat", collect_first)
    assert (await ward.scrubbed()).found == 0
    assert ward.told == []
    _, total = await verification.totals(kit.metadata)
    assert total > 0
    assert len(images) == 20


async def test_a_registry_without_blobs_is_scrubbed(ward: Ward) -> None:
    """There is nothing to find."""
    seen = await ward.scrubbed()
    assert seen == Pass(started_at=seen.started_at, finished_at=seen.finished_at)


async def test_a_run_says_when_the_pass_began_and_ended_as_a_time(ward: Ward, images: list[bytes]) -> None:
    """Not in microseconds since the epoch, as it is kept."""
    metadata = ward.kit.metadata
    asked = await ask(metadata, SCRUB.name)
    async with worker(metadata, JobKind(traits=SCRUB, run=Scrubbing(scrub=ward.scrub(), metrics=Metrics()).run)):
        result = (await until(metadata, asked)).result
    assert result is not None
    for name in ("started_at", "finished_at"):
        assert abs(datetime.fromisoformat(result[name]).timestamp() - time.time()) < 60
