"""What a registry does with blobs and uploads, the same over every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, select, update

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.metadata.database import Reader, Transaction
from entrepot.metadata.lifecycle import collection
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs, project_blobs, repository_blobs
from entrepot.metadata.work_tables import upload_sessions
from entrepot.oci.digest import Digest
from entrepot.oci.errors import (
    BlobInUse,
    BlobUnknown,
    BlobUploadUnknown,
    DigestInvalid,
    TooManyRequests,
    Unavailable,
    UploadRangeInvalid,
)
from entrepot.oci.reference import RepositoryName
from entrepot.registry import projects, quota
from entrepot.registry.model import Actor, UploadSession
from entrepot.registry.ports import StoredBlob
from entrepot.registry.service import Registry
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, OWNER, Pusher, pieces
from tests.support.manifests import image

LAYER = Digest.of(b"layer")
_SET_STATE = Query(
    update(blobs).where(blobs.c.digest == bindparam("which")).values(state=bindparam("becomes")), "test.set_state"
)
_FORGET_LINKS = Query(delete(repository_blobs), "test.forget_links")
_FORGET = Query(delete(blobs).where(blobs.c.digest == bindparam("which")), "test.forget")
_VERIFIED_AT = Query(
    update(blobs).where(blobs.c.digest == bindparam("which")).values(verified_at=bindparam("at")), "test.verified_at"
)
_VERIFIED = Query(select(blobs.c.verified_at).where(blobs.c.digest == bindparam("which")), "test.verified")
_TOUCH = Query(update(upload_sessions).values(updated_at=bindparam("at")), "test.touch")
_USAGE = Query(select(project_blobs.c.references), "test.usage")


async def _set_state(kit: Kit, digest: Digest, state: str) -> None:
    await kit.metadata.write(lambda tx: tx.execute(_SET_STATE, which=str(digest), becomes=state))


async def _stored(kit: Kit, digest: Digest) -> blob_rows.StoredRow:
    (found,) = [row for row in await blob_rows.stored(kit.metadata, after=0, limit=9) if row.digest == str(digest)]
    return found


async def test_an_upload_in_chunks_becomes_a_blob(registry: Registry) -> None:
    """POST, three PATCHes, PUT without a body."""
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    for number, chunk in enumerate((b"one", b"two", b"six")):
        session = await registry.uploads.append(NAME, session.id, pieces(chunk), principal=OWNER, start=3 * number)
    assert (await registry.uploads.status(NAME, session.id, principal=OWNER)).offset == 9
    digest = Digest.of(b"onetwosix")
    await registry.uploads.complete(NAME, session.id, digest, principal=OWNER, actor=ALICE)
    assert (await registry.blobs.get(NAME, digest)).size == 9
    with pytest.raises(BlobUploadUnknown):
        await registry.uploads.status(NAME, session.id, principal=OWNER)


async def test_a_chunk_out_of_order_is_refused_with_the_offset(registry: Registry) -> None:
    """The session stays usable."""
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await registry.uploads.append(NAME, session.id, pieces(b"12345"), principal=OWNER)
    with pytest.raises(UploadRangeInvalid) as refused:
        await registry.uploads.append(NAME, session.id, pieces(b"x"), principal=OWNER, start=9)
    assert refused.value.offset == 5
    with pytest.raises(UploadRangeInvalid):
        await registry.uploads.complete(NAME, session.id, LAYER, pieces(b"x"), principal=OWNER, actor=ALICE, start=0)
    done = await registry.uploads.complete(NAME, session.id, Digest.of(b"12345"), principal=OWNER, actor=ALICE)
    assert done.size == 5


async def test_a_wrong_digest_leaves_the_session_open(registry: Registry) -> None:
    """The client may try again with the right one."""
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    with pytest.raises(DigestInvalid):
        await registry.uploads.complete(NAME, session.id, LAYER, pieces(b"other"), principal=OWNER, actor=ALICE)
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(NAME, LAYER)
    await registry.uploads.complete(NAME, session.id, Digest.of(b"other"), principal=OWNER, actor=ALICE)


async def test_a_session_belongs_to_its_repository_and_principal(registry: Registry) -> None:
    """For everybody else it does not exist, whatever they try (CVE-2026-32589)."""
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    other = RepositoryName.parse("team/other")
    for name, principal in ((NAME, "user:mallory"), (other, OWNER)):
        with pytest.raises(BlobUploadUnknown):
            await registry.uploads.status(name, session.id, principal=principal)
        with pytest.raises(BlobUploadUnknown):
            await registry.uploads.append(name, session.id, pieces(b"x"), principal=principal)
        with pytest.raises(BlobUploadUnknown):
            await registry.uploads.complete(name, session.id, LAYER, principal=principal, actor=ALICE)
        with pytest.raises(BlobUploadUnknown):
            await registry.uploads.cancel(name, session.id, principal=principal)


async def test_one_principal_cannot_open_sessions_without_end(kit: Kit) -> None:
    """The next POST is told to wait; others go on; room is made by completing or cancelling, and by an hour's time."""
    registry = kit.registry(max_open_uploads=2)
    opened = [await registry.uploads.start(NAME, principal=OWNER, actor=ALICE) for _ in range(2)]
    with pytest.raises(
        TooManyRequests, match="2 uploads of this account or address are open; complete or cancel"
    ) as refusal:
        await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    assert refusal.value.retry_after == 60
    assert len(await kit.store.uploads()) == 2
    await registry.uploads.append(NAME, opened[0].id, pieces(b"more"), principal=OWNER)
    await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)
    await registry.uploads.cancel(NAME, opened[0].id, principal=OWNER)
    await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await kit.work.write(lambda tx: tx.execute(_TOUCH, at=clock.after(-3601)))
    await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)


async def test_sessions_without_an_account_count_for_their_address(kit: Kit) -> None:
    """One address that opens all it may stops nobody else, and what it opened for nothing makes room after a minute."""
    registry = kit.registry(max_open_uploads=2)
    start = partial(registry.uploads.start, NAME, principal="anonymous:", actor=ALICE)
    slow, forgotten = await start(counted_for="192.0.2.1"), await start(counted_for="192.0.2.1")
    await start(counted_for="192.0.2.2")
    with pytest.raises(TooManyRequests, match="of this account or address"):
        await start(counted_for="192.0.2.1")
    await registry.uploads.append(NAME, slow.id, pieces(b"x"), principal="anonymous:")
    await kit.work.write(lambda tx: tx.execute(_TOUCH, at=clock.after(-61)))
    third = await start(counted_for="192.0.2.1")
    with pytest.raises(BlobUploadUnknown):
        await registry.uploads.status(NAME, forgotten.id, principal="anonymous:")
    assert (await registry.uploads.status(NAME, slow.id, principal="anonymous:")).offset == 1
    with pytest.raises(TooManyRequests):  # the newest is younger than a minute, and the other has bytes
        await start(counted_for="192.0.2.1")
    assert {third.id, slow.id} < {upload for upload, _ in await kit.store.uploads()}


async def test_a_session_that_receives_its_first_bytes_makes_no_room(kit: Kit) -> None:
    """Nothing is stored of them yet, but the request is at work: a slow client keeps its session."""
    registry = kit.registry(max_open_uploads=1)
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await kit.work.write(lambda tx: tx.execute(_TOUCH, at=clock.after(-61)))
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        begun.set()
        await go_on.wait()
        yield b"at last"

    appending = asyncio.create_task(registry.uploads.append(NAME, session.id, slowly(), principal=OWNER))
    await begun.wait()
    with pytest.raises(TooManyRequests):
        await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    go_on.set()
    assert (await appending).offset == 7


async def test_all_sessions_together_are_bounded(kit: Kit) -> None:
    """Many accounts, and sessions forgotten long ago, count together."""
    registry = kit.registry(max_open_uploads_in_all=2)
    for number in range(2):
        await registry.uploads.start(NAME, principal=f"user:{number}", actor=ALICE)
    await kit.work.write(lambda tx: tx.execute(_TOUCH, at=0))
    with pytest.raises(TooManyRequests, match="2 uploads are open"):
        await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)


async def test_sessions_of_addresses_make_room_for_accounts(kit: Kit) -> None:
    """When all together have as many as there may be, the oldest that nobody in particular opened in vain goes."""
    registry = kit.registry(max_open_uploads_in_all=2)
    mine = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await registry.uploads.start(NAME, principal="anonymous:", counted_for="192.0.2.1", actor=ALICE)
    with pytest.raises(TooManyRequests, match="2 uploads are open"):
        await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)
    await kit.work.write(lambda tx: tx.execute(_TOUCH, at=0))
    await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)
    assert (await registry.uploads.status(NAME, mine.id, principal=OWNER)).offset == 0
    with pytest.raises(TooManyRequests):
        await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)


async def test_one_byte_for_each_session_stops_nobody_for_longer_than_an_hour(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the bound of all the session of an address goes that was idle longest; those of accounts stay."""
    registry = kit.registry(max_open_uploads_in_all=4)
    strangers = [await _anonymous(registry, f"192.0.2.{number}") for number in range(2)]
    mine = [await registry.uploads.start(NAME, principal=OWNER, actor=ALICE) for _ in range(2)]
    for session, principal in (*((s, "anonymous:") for s in strangers), *((s, OWNER) for s in mine)):
        await registry.uploads.append(NAME, session.id, pieces(b"x"), principal=principal)
    with pytest.raises(TooManyRequests, match="4 uploads are open"):
        await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)
    _go_on(monkeypatch, seconds=3700)
    await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)
    with pytest.raises(BlobUploadUnknown):
        await registry.uploads.status(NAME, strangers[0].id, principal="anonymous:")
    assert (await registry.uploads.status(NAME, strangers[1].id, principal="anonymous:")).offset == 1
    await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)
    with pytest.raises(TooManyRequests, match="4 uploads are open"):
        await registry.uploads.start(NAME, principal="user:bob", actor=ALICE)
    assert [(await registry.uploads.status(NAME, one.id, principal=OWNER)).offset for one in mine] == [1, 1]


async def test_sessions_of_addresses_fill_half_of_all_places(kit: Kit) -> None:
    """Strangers from everywhere take no account's place; they are told that signing in helps."""
    registry = kit.registry(max_open_uploads_in_all=4)
    for number in range(2):
        await _anonymous(registry, f"192.0.2.{number}")
    with pytest.raises(TooManyRequests, match=r"2 uploads of clients without an account are open.*sign in"):
        await _anonymous(registry, "192.0.2.9")
    for _ in range(2):
        await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)


async def test_sessions_at_work_make_no_room_and_hide_none_that_may(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may send for hours without ending a request; who looks for room passes it over the next time."""
    monkeypatch.setattr("entrepot.registry.uploads._LOOKS", 1)
    registry = kit.registry(max_open_uploads_in_all=4)
    slow, idle = await _anonymous(registry, "192.0.2.1"), await _anonymous(registry, "192.0.2.2")
    for session in (slow, idle):
        await registry.uploads.append(NAME, session.id, pieces(b"x"), principal="anonymous:")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        begun.set()
        await go_on.wait()
        yield b"at last"

    appending = asyncio.create_task(registry.uploads.append(NAME, slow.id, slowly(), principal="anonymous:"))
    await begun.wait()
    _go_on(monkeypatch, seconds=3700)
    with pytest.raises(TooManyRequests):
        await _anonymous(registry, "192.0.2.3")
    await _anonymous(registry, "192.0.2.3")
    go_on.set()
    assert (await appending).offset == 8
    with pytest.raises(BlobUploadUnknown):
        await registry.uploads.status(NAME, idle.id, principal="anonymous:")


async def _anonymous(registry: Registry, address: str) -> UploadSession:
    return await registry.uploads.start(NAME, principal="anonymous:", counted_for=address, actor=ALICE)


def _go_on(monkeypatch: pytest.MonkeyPatch, *, seconds: int) -> None:
    """Let the clock of the registry go on, but not that of the store."""
    started = clock.now()
    monkeypatch.setattr(clock, "now", lambda: started + seconds * clock.MICROSECONDS)


async def test_a_cancelled_session_is_gone(registry: Registry) -> None:
    """A second cancel finds nothing."""
    session = await registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    await registry.uploads.cancel(NAME, session.id, principal=OWNER)
    with pytest.raises(BlobUploadUnknown):
        await registry.uploads.cancel(NAME, session.id, principal=OWNER)


async def test_a_blob_is_visible_only_where_it_was_pushed(pusher: Pusher, registry: Registry) -> None:
    """Equal bytes are stored once, but each repository has its own right to them (CVE-2024-39897)."""
    await pusher.blob(b"layer")
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(RepositoryName.parse("team/other"), LAYER)


async def test_a_mount_makes_a_blob_visible_without_bytes(pusher: Pusher, registry: Registry) -> None:
    """Mounting something that the source does not hold says so."""
    await pusher.blob(b"layer")
    other = RepositoryName.parse("team/other")
    assert await registry.blobs.mount(other, Digest.of(b"none"), NAME, actor=ALICE) is None
    mounted = await registry.blobs.mount(other, LAYER, NAME, actor=ALICE)
    assert mounted is not None
    assert await registry.blobs.get(other, LAYER) == mounted
    assert sorted(await registry.blobs.find_anywhere(LAYER)) == [NAME, other]


async def test_a_blob_in_use_cannot_be_deleted(pusher: Pusher, registry: Registry) -> None:
    """Without the manifest it can, and is gone at once."""
    body = await pusher.image("v1", b"layer")
    with pytest.raises(BlobInUse) as refused:
        await registry.blobs.delete(NAME, LAYER, actor=ALICE)
    assert refused.value.references == 1
    await registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    await registry.blobs.delete(NAME, LAYER, actor=ALICE)
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(NAME, LAYER)
    with pytest.raises(BlobUnknown):
        await registry.blobs.delete(NAME, LAYER, actor=ALICE)


async def test_a_manifest_wins_a_marked_blob_back(kit: Kit, pusher: Pusher) -> None:
    """The collector's next step then fails."""
    await pusher.blob(b"layer")
    await pusher.blob(b"{}")
    await _set_state(kit, LAYER, blob_rows.MARKED)
    await pusher.manifest(image(b"{}", b"layer"), "v1")
    row = await blob_rows.find(kit.metadata, str(LAYER))
    assert row is not None
    assert (row.state, row.review_after) == (blob_rows.LIVE, None)


async def test_what_puts_a_collection_off_raises_the_generation(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """A collector that saw a blob before it was won back meets another generation, though the state is the same."""
    for content in (b"layer", b"{}"):
        await pusher.blob(content)

    async def queue() -> None:
        row = await _stored(kit, LAYER)
        await kit.metadata.write(lambda tx: blob_rows.queue(tx, [row.id], review_after=5))

    async def heal() -> None:
        put = partial(blob_rows.put, size=5, storage_key="other", review_after=5)
        assert await kit.metadata.write(lambda tx: put(tx, str(LAYER))) is not None

    async def settle() -> None:
        row = await _stored(kit, LAYER)
        await kit.metadata.write(lambda tx: collection.settle(tx, [row.id]))

    for put_off in (
        queue,
        lambda: registry.blobs.stat(NAME, LAYER),
        lambda: registry.blobs.mount(RepositoryName.parse("team/copy"), LAYER, NAME, actor=ALICE),
        lambda: pusher.blob(b"layer"),
        lambda: pusher.manifest(image(b"{}", b"layer")),
        lambda: pusher.blob(b"layer"),
        heal,
        settle,
    ):
        await _set_state(kit, LAYER, blob_rows.MARKED)
        before = await _stored(kit, LAYER)
        await put_off()
        assert (await _stored(kit, LAYER)).generation > before.generation
        await _set_state(kit, LAYER, blob_rows.MARKED)
        assert not await kit.metadata.write(lambda tx, row=before: blob_rows.set_state(tx, row, blob_rows.MISSING))


async def test_a_head_renews_the_grace_of_a_queued_blob(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """It writes only when half of the grace is over."""
    await pusher.blob(b"layer")
    before = kit.metadata.statistics.transactions
    await registry.blobs.stat(NAME, LAYER)
    assert kit.metadata.statistics.transactions == before
    await _set_state(kit, LAYER, blob_rows.MARKED)
    await kit.metadata.write(lambda tx: blob_rows.keep(tx, [1], review_after=5))
    await registry.blobs.stat(NAME, LAYER)
    row = await blob_rows.find(kit.metadata, str(LAYER))
    assert row is not None
    assert row.review_after is not None
    assert row.review_after > 5


async def test_a_blob_that_the_collector_claims_while_somebody_asks_for_it_is_unknown(
    kit: Kit, pusher: Pusher, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was told that it is there would not push it; nor is it mounted."""
    await pusher.blob(b"layer")
    (row,) = [row for row in await blob_rows.stored(kit.metadata, after=0, limit=9) if row.digest == str(LAYER)]

    async def claim_first(reader: Reader, name: RepositoryName) -> quota.Limited | None:
        await _set_state(kit, LAYER, blob_rows.DELETING)
        return await quota.limited(reader, name)

    await kit.metadata.write(lambda tx: blob_rows.keep(tx, [row.id], review_after=5))
    monkeypatch.setattr("entrepot.registry.blobs.limited", claim_first)
    with pytest.raises(BlobUnknown):
        await registry.blobs.stat(NAME, LAYER)

    async def claim_now(tx: Transaction, name: RepositoryName, actor: Actor) -> None:
        await tx.execute(_SET_STATE, which=str(LAYER), becomes=blob_rows.DELETING)
        await projects.require_project(tx, name, actor)

    await _set_state(kit, LAYER, blob_rows.MARKED)
    monkeypatch.setattr("entrepot.registry.blobs.require_project", claim_now)
    other = RepositoryName.parse("team/copy")
    assert await registry.blobs.mount(other, LAYER, NAME, actor=ALICE) is None
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(other, LAYER)


async def test_a_blob_that_lost_its_last_manifest_is_queued_and_whoever_finds_it_renews_its_grace(
    kit: Kit, pusher: Pusher, registry: Registry
) -> None:
    """A HEAD and a push both rely on it; one that another manifest still refers to is not queued."""
    deleted = await pusher.image("a", b"layer", config=b"[1]")
    await pusher.image("b", b"shared", config=b"[2]")
    both = await pusher.image("c", b"shared", config=b"[3]")
    soon = kit.registry(grace_seconds=1.0)
    for body in (deleted, both):
        await soon.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    shared = await blob_rows.find(kit.metadata, str(Digest.of(b"shared")))
    assert shared is not None
    assert shared.review_after is None
    for rely in (registry.blobs.stat(NAME, LAYER), pusher.blob(b"layer")):
        lost = await blob_rows.find(kit.metadata, str(LAYER))
        assert lost is not None
        assert lost.review_after is not None
        assert lost.review_after < clock.after(2)
        await rely
        kept = await blob_rows.find(kit.metadata, str(LAYER))
        assert kept is not None
        assert kept.review_after is not None
        assert kept.review_after > clock.after(3000)
        await kit.metadata.write(lambda tx, row=lost: blob_rows.queue(tx, [row.id], review_after=row.review_after))


async def test_a_push_that_meets_a_blob_being_deleted_waits_for_its_end(
    kit: Kit, pusher: Pusher, registry: Registry
) -> None:
    """Meanwhile the blob does not exist; afterwards the push stores it anew."""
    await pusher.blob(b"layer")
    await _set_state(kit, LAYER, blob_rows.DELETING)
    with pytest.raises(BlobUnknown):
        await registry.blobs.stat(NAME, LAYER)
    waiting = asyncio.ensure_future(pusher.blob(b"layer"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await _set_state(kit, LAYER, blob_rows.LIVE)
    await waiting
    assert (await registry.blobs.get(NAME, LAYER)).size == 5


async def test_a_push_does_not_wait_for_ever(kit: Kit, impatient_registry: Registry) -> None:
    """A collector that hangs costs the client a try, not its connection; the session can be completed later."""
    pusher = Pusher(impatient_registry)
    await pusher.blob(b"layer")
    await _set_state(kit, LAYER, blob_rows.DELETING)
    with pytest.raises(Unavailable):
        await pusher.blob(b"layer")


async def test_a_push_heals_a_blob_whose_file_is_gone(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """The bytes that came are used when those that should be there are not."""
    record = await pusher.blob(b"layer")
    await kit.store.delete(record.key)
    await pusher.blob(b"layer")
    assert (await kit.store.stat((await registry.blobs.get(NAME, LAYER)).key)).size == 5


async def test_a_push_that_relied_on_a_copy_stores_its_own_when_the_collector_was_faster(
    kit: Kit, pusher: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file and its row went between the look at the file and the commit; an acknowledged blob has its bytes."""
    await pusher.blob(b"layer")
    real = MemoryBlobStore.stat

    async def stat_then_lose(store: MemoryBlobStore, key: str) -> StoredBlob:
        monkeypatch.undo()
        found = await real(store, key)
        await store.delete(key)
        await kit.metadata.write(lambda tx: tx.execute(_FORGET_LINKS))
        await kit.metadata.write(lambda tx: tx.execute(_FORGET, which=key))
        return found

    monkeypatch.setattr(MemoryBlobStore, "stat", stat_then_lose)
    record = await pusher.blob(b"layer")
    assert (await kit.store.stat(record.key)).size == 5


async def test_a_push_whose_bytes_went_before_its_commit_is_not_acknowledged(
    kit: Kit, pusher: Pusher, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stood still between publishing and committing met a collector; the next push is a good one."""
    real = MemoryBlobStore.publish

    async def publish_then_lose(store: MemoryBlobStore, upload_id: str, digest: Digest, **known: Any) -> StoredBlob:
        published = await real(store, upload_id, digest, **known)
        await store.delete(published.key)
        return published

    monkeypatch.setattr(MemoryBlobStore, "publish", publish_then_lose)
    with pytest.raises(Unavailable, match="push it again"):
        await pusher.blob(b"layer")
    monkeypatch.undo()
    with pytest.raises(BlobUnknown):
        await registry.blobs.get(NAME, LAYER)
    assert await kit.store.uploads() == []
    record = await pusher.blob(b"layer")
    assert (await kit.store.stat(record.key)).size == 5
    assert (await registry.blobs.get(NAME, LAYER)).size == 5


async def test_a_push_publishes_its_own_bytes_when_the_copy_went_before_its_commit(
    kit: Kit, pusher: Pusher, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was still there, so the commit counted; the look after it finds the file gone."""
    await pusher.blob(b"layer")
    real = MemoryBlobStore.stat

    async def stat_then_lose(store: MemoryBlobStore, key: str) -> StoredBlob:
        monkeypatch.undo()
        found = await real(store, key)
        await store.delete(key)
        return found

    monkeypatch.setattr(MemoryBlobStore, "stat", stat_then_lose)
    record = await pusher.blob(b"layer")
    assert (await kit.store.stat(record.key)).size == 5
    assert (await registry.blobs.get(NAME, LAYER)).size == 5


async def test_a_push_of_known_bytes_does_not_vouch_for_the_copy_that_is_there(kit: Kit, pusher: Pusher) -> None:
    """Nobody read that copy again, so its verification stays as old as it is; a suspect copy is replaced."""
    await pusher.blob(b"layer")
    yesterday = clock.after(-24 * 3600)
    await kit.metadata.write(lambda tx: tx.execute(_VERIFIED_AT, which=str(LAYER), at=yesterday))
    await pusher.blob(b"layer")
    assert await kit.metadata.one(_VERIFIED, which=str(LAYER)) == (yesterday,)
    await kit.metadata.write(lambda tx: tx.execute(_VERIFIED_AT, which=str(LAYER), at=None))
    await pusher.blob(b"layer")
    row = await kit.metadata.one(_VERIFIED, which=str(LAYER))
    assert row is not None
    assert row[0] > yesterday


async def test_usage_counts_each_reference_once(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """Two images share a layer: two references; deleting one leaves one, deleting both none."""
    first = await pusher.image("a", b"layer", config=b"[1]")
    second = await pusher.image("b", b"layer", config=b"[2]")
    assert sorted(row[0] for row in await kit.metadata.all(_USAGE)) == [1, 1, 2]
    await registry.manifests.delete(NAME, Digest.of(first), actor=ALICE)
    assert sorted(row[0] for row in await kit.metadata.all(_USAGE)) == [1, 1]
    await registry.manifests.delete(NAME, Digest.of(second), actor=ALICE)
    assert await kit.metadata.all(_USAGE) == []


async def test_many_clients_push_the_same_blob_at_once(kit: Kit, registry: Registry) -> None:
    """32 repositories, one stored copy, every push acknowledged."""
    names = [RepositoryName.parse(f"team/r{number}") for number in range(32)]
    await asyncio.gather(*(Pusher(registry, name).blob(b"layer") for name in names))
    assert len(await registry.blobs.find_anywhere(LAYER)) == 32
    assert [stored.key async for stored in kit.store.keys()] == [str(LAYER)]
