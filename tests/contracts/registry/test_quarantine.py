"""Blobs taken out of sight and brought back, and what is noted of it, over every database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.metadata.contents import blobs as rows
from entrepot.metadata.integrity import findings, verification
from entrepot.metadata.integrity.verification import Verified
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, events
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, ManifestBlobUnknown
from entrepot.registry.ports import StoredBlob
from entrepot.registry.quarantine import Quarantine
from entrepot.registry.service import Registry
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import image
from tests.support.rows import open_findings

LAYER = Digest.of(b"layer")
_EVENTS = Query(
    select(events.c.kind, events.c.repository, events.c.digest, events.c.actor, events.c.credential)
    .where(events.c.actor == "integrity")
    .order_by(events.c.id),
    "test.integrity_events",
)
_VERIFIED = Query(select(blobs.c.inode, blobs.c.mtime_ns, blobs.c.verified_at), "test.all_verified")


@pytest.fixture
def found() -> list[tuple[str, str]]:
    """What was told of findings."""
    return []


@pytest.fixture
def quarantine(kit: Kit, found: list[tuple[str, str]]) -> Quarantine:
    """Give a quarantine that may write."""
    return Quarantine(kit.metadata, kit.store, lambda: False, lambda kind, by: found.append((kind, by)))


async def _state(kit: Kit) -> str:
    row = await rows.find(kit.metadata, str(LAYER))
    assert row is not None
    return row.state


async def test_a_damaged_blob_is_out_of_sight_until_it_is_pushed(
    kit: Kit, quarantine: Quarantine, found: list[tuple[str, str]], pusher: Pusher, registry: Registry
) -> None:
    """Found twice it is one finding and one event; what refers to it is whole again with the push."""
    body = await pusher.image("v1", b"layer")
    file = await kit.store.stat(str(LAYER))
    for _ in range(2):
        assert await quarantine.damaged(LAYER, file, "wrong", by="scrub")
    assert await _state(kit) == rows.DAMAGED
    assert found == [(findings.BLOB_DAMAGED, "scrub")] * 2
    assert await open_findings(kit.metadata) == [(findings.BLOB_DAMAGED, str(LAYER), "scrub")]
    assert await findings.count_open(kit.metadata) == {findings.BLOB_DAMAGED: 1}
    for look in (registry.blobs.get, registry.blobs.stat):
        with pytest.raises(BlobUnknown):
            await look(NAME, LAYER)
    assert await registry.blobs.mount(NAME, LAYER, NAME, actor=ALICE) is None
    with pytest.raises(ManifestBlobUnknown):
        await pusher.manifest(image(b"{}", b"layer"), "v2")
    await pusher.blob(b"layer")
    assert await _state(kit) == rows.LIVE
    assert await open_findings(kit.metadata) == []
    assert (await pusher.manifest(body, "v2")).tags == ("v2",)
    assert await kit.metadata.all(_EVENTS) == [
        ("quarantine", NAME, str(LAYER), "integrity", "scrub"),
        ("heal", NAME, str(LAYER), "integrity", "push"),
    ]


async def test_a_missing_blob_is_out_of_sight_until_it_is_pushed(
    kit: Kit, quarantine: Quarantine, pusher: Pusher
) -> None:
    """Bytes that are there are not missing, whatever somebody says."""
    await pusher.blob(b"layer")
    assert not await quarantine.missing(LAYER, "gone", by="scrub")
    assert await _state(kit) == rows.LIVE
    await kit.store.delete(str(LAYER))
    assert await quarantine.missing(LAYER, "gone", by="scrub")
    assert await _state(kit) == rows.MISSING
    await pusher.blob(b"layer")
    assert (await _state(kit), await open_findings(kit.metadata)) == (rows.LIVE, [])


async def test_a_file_that_was_replaced_meanwhile_is_not_condemned(
    kit: Kit, quarantine: Quarantine, pusher: Pusher
) -> None:
    """Who found damage read another file than the one that is there now."""
    await pusher.blob(b"layer")
    other = StoredBlob(key=str(LAYER), size=5, inode=1, mtime_ns=1)
    assert not await quarantine.damaged(LAYER, other, "wrong", by="scrub")
    assert (await _state(kit), await open_findings(kit.metadata)) == (rows.LIVE, [])


async def test_a_push_between_the_look_and_the_verdict_wins(
    kit: Kit, quarantine: Quarantine, pusher: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row's generation has risen, so the verdict is of a file that is no more."""
    await pusher.blob(b"layer")
    real = MemoryBlobStore.stat
    file = await kit.store.stat(str(LAYER))

    async def stat_then_push(store: MemoryBlobStore, key: str) -> StoredBlob:
        monkeypatch.undo()
        described = await real(store, key)
        await kit.metadata.write(lambda tx: rows.keep(tx, [1], review_after=None))
        return described

    monkeypatch.setattr(MemoryBlobStore, "stat", stat_then_push)
    assert not await quarantine.damaged(LAYER, file, "wrong", by="scrub")
    assert (await _state(kit), await open_findings(kit.metadata)) == (rows.LIVE, [])


async def test_nothing_is_written_while_the_registry_is_read_only(kit: Kit, pusher: Pusher) -> None:
    """What is found is told all the same."""
    await pusher.blob(b"layer")
    file = await kit.store.stat(str(LAYER))
    told: list[str] = []
    quarantine = Quarantine(kit.metadata, kit.store, lambda: True, lambda kind, _by: told.append(kind))
    assert await quarantine.damaged(LAYER, file, "wrong", by="scrub"), "it is damaged all the same"
    await quarantine.manifest(LAYER, "wrong", by="scrub")
    assert told == [findings.BLOB_DAMAGED, findings.MANIFEST_DAMAGED]
    assert (await _state(kit), await open_findings(kit.metadata)) == (rows.LIVE, [])


async def test_a_verification_counts_for_the_file_that_was_read(kit: Kit, pusher: Pusher) -> None:
    """It is noted in the row, unless the row was written since: then it is of an older file."""
    await pusher.blob(b"layer")
    row = await rows.find(kit.metadata, str(LAYER))
    assert row is not None
    first = Verified(row.id, row.verified_at, 7, 8, 9)
    await kit.metadata.write(lambda tx: verification.mark(tx, [first]))
    assert await kit.metadata.all(_VERIFIED) == [(7, 8, 9)]
    late = Verified(row.id, row.verified_at, 1, 2, 3)
    await kit.metadata.write(lambda tx: verification.mark(tx, [late]))
    assert await kit.metadata.all(_VERIFIED) == [(7, 8, 9)]


async def test_parts_wait_for_the_whole(kit: Kit, registry: Registry, pusher: Pusher) -> None:
    """A blob whose row says that it was never verified is read whole, and its row says so afterwards."""
    await pusher.blob(b"layer")
    row = await rows.find(kit.metadata, str(LAYER))
    assert row is not None
    await kit.metadata.write(lambda tx: verification.mark(tx, [Verified(row.id, row.verified_at, None, None, 1)]))
    record = await registry.blobs.get(NAME, LAYER)
    assert registry.verifying.is_suspect(record, None, None), "it was verified in 1970"
    await registry.verifying.ensure(record, await kit.store.stat(record.key))
    assert not registry.verifying.is_suspect(record, None, None)
    await registry.verifying.flush()
    assert not kit.registry().verifying.is_suspect(await registry.blobs.get(NAME, LAYER), None, None)


async def _drain(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_a_stream_of_a_suspect_blob_ends_whole_or_not_at_all(
    kit: Kit, registry: Registry, pusher: Pusher
) -> None:
    """Its bytes are the blob's, or it raises and the blob is out of sight."""
    await pusher.blob(b"layer")
    record = await registry.blobs.get(NAME, LAYER)
    file = await kit.store.stat(record.key)
    assert await _drain(registry.verifying.stream(record, file)) == b"layer"
    assert isinstance(kit.store, MemoryBlobStore)
    kit.store._blobs[record.key] = b"lAyer"
    with pytest.raises(BlobUnknown, match="push it again"):
        await _drain(registry.verifying.stream(record, file))
    assert await _state(kit) == rows.DAMAGED
