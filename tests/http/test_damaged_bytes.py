"""Damaged and suspect bytes: what is sent, what is refused, and what heals (promise P4)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select, update

from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs
from entrepot.metadata.integrity import findings
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs as blob_table
from entrepot.metadata.tables import events, manifest_contents
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.registry.suspect_blobs import Suspicion
from entrepot.registry.verification import Verifying
from tests.http.pushing import NAME, push_blob, push_image, put_manifest
from tests.support.app import App, Opener
from tests.support.damage import flip_a_bit
from tests.support.manifests import digest_of
from tests.support.rows import open_findings

#: More than what is answered from memory (`registry.small_blobs.SMALL`), and several pieces long.
CONTENT = os.urandom(3 * 1024 * 1024 + 17)
_EVENTS = Query(select(events.c.kind, events.c.digest, events.c.credential).order_by(events.c.id), "test.events")
_VERIFIED = Query(select(blob_table.c.inode, blob_table.c.mtime_ns, blob_table.c.verified_at), "test.verified")
_FORGET_VERIFIED = Query(update(blob_table).values(verified_at=None), "test.forget_verified")
_DAMAGE_MANIFESTS = Query(update(manifest_contents).values(content=bindparam("content")), "test.damage_manifests")


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with its blobs in files."""
    return await open_registry(files=True)


def file_of(app: App, digest: str) -> Path:
    """Say where a blob lies."""
    assert app.services.files is not None
    return app.services.files.path(digest)


async def state_of(app: App, digest: str) -> str:
    """Return the state of a blob's row."""
    row = await blobs.find(app.stores.metadata, digest)
    assert row is not None
    return row.state


async def damage_told(app: App) -> list[tuple[str, str]]:
    """List the open findings."""
    return [(kind, subject) for kind, subject, _ in await open_findings(app.stores.metadata)]


def another_process(app: App) -> App:
    """Give the same registry as a process sees it that remembers nothing."""
    old = app.services.registry
    verifying = Verifying(
        metadata=app.stores.metadata, store=app.store, suspicion=Suspicion(), quarantine=old.verifying.quarantine
    )
    services = replace(app.services, registry=replace(old, verifying=verifying))
    return replace(app, services=services, application=type(app.application)(services))


async def test_a_touched_file_is_hashed_once_and_then_sent_by_the_server_again(app: App) -> None:
    """Copied or touched, a whole blob costs one reading; its row learns of it, so that other processes know too."""
    digest = await push_blob(app.client(), CONTENT)
    path = f"/v2/{NAME}/blobs/{digest}"
    assert (await app.client().get(path)).files == [str(file_of(app, digest))]
    os.utime(file_of(app, digest))
    first, second = await app.client().get(path), await app.client().get(path)
    assert (first.status, first.body == CONTENT, first.files) == (200, True, [])
    assert second.files == [str(file_of(app, digest))]
    assert (await another_process(app).client().get(path)).files == [], "its row says nothing of it yet"
    await app.services.registry.verifying.flush()
    assert (await another_process(app).client().get(path)).files == [str(file_of(app, digest))]
    status = file_of(app, digest).stat()
    row = await app.stores.metadata.one(_VERIFIED)
    assert row is not None
    assert row[:2] == (status.st_ino, status.st_mtime_ns)


@pytest.mark.parametrize("at", [0, 1024 * 1024, len(CONTENT) - 1])
async def test_a_flipped_bit_never_leaves_whole_and_a_push_heals_it(app: App, at: int) -> None:
    """The transfer breaks before its last byte; from then on the blob is unknown, until somebody pushes it."""
    client = app.client()
    await push_image(client, "v1", CONTENT)
    digest = digest_of(CONTENT)
    path = f"/v2/{NAME}/blobs/{digest}"
    flip_a_bit(file_of(app, digest), at)
    with pytest.raises(BlobUnknown):
        await client.get(path)
    for answer in (await client.get(path), await client.get(path, headers={"Range": "bytes=7-9"})):
        assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])
    assert (await client.head(path)).status == 404, "or clients would not push it again"
    assert await damage_told(app) == [(findings.BLOB_DAMAGED, digest)]
    assert (await put_manifest(client, await _manifest(app), "v2")).codes == ["MANIFEST_BLOB_UNKNOWN"]

    await push_blob(client, CONTENT)
    assert (await client.get(path)).files == [str(file_of(app, digest))]
    assert file_of(app, digest).read_bytes() == CONTENT
    assert (await put_manifest(client, await _manifest(app), "v2")).status == 201
    assert await damage_told(app) == []
    told = [row for row in await app.stores.metadata.all(_EVENTS) if row[0] in ("quarantine", "heal")]
    assert told == [("quarantine", digest, "pull"), ("heal", digest, "push")]


async def _manifest(app: App) -> bytes:
    return (await app.client().get(f"/v2/{NAME}/manifests/v1")).body


async def test_a_part_of_a_suspect_blob_waits_for_the_whole(app: App) -> None:
    """Its bytes are sent once all of them are hashed; when one is wrong, none is sent."""
    digest = await push_blob(app.client(), CONTENT)
    path = f"/v2/{NAME}/blobs/{digest}"
    os.utime(file_of(app, digest))
    part = await app.client().get(path, headers={"Range": "bytes=100-2000000"})
    assert (part.status, part.body == CONTENT[100:2_000_001]) == (206, True)
    flip_a_bit(file_of(app, digest), len(CONTENT) - 1)
    for wanted in ("bytes=0-0", "bytes=100-2000000", "bytes=-5"):
        answer = await app.client().get(path, headers={"Range": wanted})
        assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])
    assert await state_of(app, digest) == blobs.DAMAGED


async def test_the_whole_asked_for_as_a_range_is_held_back_too(app: App) -> None:
    """`bytes=0-` of a suspect blob is streamed as the whole is, and breaks as the whole does."""
    digest = await push_blob(app.client(), CONTENT)
    path = f"/v2/{NAME}/blobs/{digest}"
    os.utime(file_of(app, digest))
    whole = await app.client().get(path, headers={"Range": "bytes=0-"})
    assert (whole.status, whole.body == CONTENT, whole.files) == (206, True, [])
    flip_a_bit(file_of(app, digest), 5)
    with pytest.raises(BlobUnknown):
        await app.client().get(path, headers={"Range": "bytes=0-"})


async def test_all_who_ask_for_parts_wait_for_one_reading(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight clients with eight ranges of one suspect blob have it read once."""
    readings: list[str] = []
    real = FilesystemBlobStore.stream

    def stream(
        store: FilesystemBlobStore, key: str, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if length == len(CONTENT):
            readings.append(key)
        return real(store, key, start, length)

    monkeypatch.setattr(FilesystemBlobStore, "stream", stream)
    digest = await push_blob(app.client(), CONTENT)
    os.utime(file_of(app, digest))
    asked = [app.client().get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": f"bytes={n}-{n + 9}"}) for n in range(8)]
    answers = await asyncio.gather(*asked)
    assert [answer.body for answer in answers] == [CONTENT[n : n + 10] for n in range(8)]
    assert readings == [digest]


async def test_a_part_of_a_very_large_suspect_blob_is_put_off(app: App) -> None:
    """Whoever waits too long is told to come back; the reading goes on, and answers the next time."""
    registry = app.services.registry
    hurried = Verifying(
        metadata=app.stores.metadata,
        store=app.store,
        suspicion=Suspicion(),
        quarantine=registry.verifying.quarantine,
        patience=0,
    )
    services = replace(app.services, registry=replace(registry, verifying=hurried))
    client = replace(app, application=type(app.application)(services)).client()
    digest = await push_blob(client, CONTENT)
    os.utime(file_of(app, digest))
    early = await client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": "bytes=0-9"})
    assert (early.status, early["Retry-After"]) == (503, "10")
    await asyncio.gather(*hurried._reading.values())
    late = await client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": "bytes=0-9"})
    assert (late.status, late.body) == (206, CONTENT[:10])


async def test_bytes_that_were_never_verified_are_suspect(app: App) -> None:
    """What registry:2 left is hashed when it is first pulled."""
    digest = await push_blob(app.client(), CONTENT)
    await app.stores.metadata.write(lambda tx: tx.execute(_FORGET_VERIFIED))
    answer = await app.client().get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.body == CONTENT, answer.files) == (True, [])
    flip_a_bit(file_of(app, digest), 9)
    with pytest.raises(BlobUnknown):
        await app.client().get(f"/v2/{NAME}/blobs/{digest}")


@pytest.mark.parametrize(
    "suspicion", [Suspicion(age=0), Suspicion(unclean_stop=clock.after(3600))], ids=["age", "unclean stop"]
)
async def test_an_old_verification_does_not_count(open_registry: Opener, suspicion: Suspicion) -> None:
    """Older than the set age, or from before the machine stopped without warning: hashed again when it is pulled."""
    app: App = await open_registry(files=True, registry={"suspicion": suspicion})
    digest = await push_blob(app.client(), CONTENT)
    answer = await app.client().get(f"/v2/{NAME}/blobs/{digest}")
    assert (answer.body == CONTENT, answer.files) == (True, [])


async def test_a_push_replaces_a_suspect_copy(app: App) -> None:
    """The bytes that came are good; whether the old ones are is not known, so they go."""
    digest = await push_blob(app.client(), CONTENT)
    flip_a_bit(file_of(app, digest), 12)
    await push_blob(app.client(), CONTENT, "team/other")
    assert file_of(app, digest).read_bytes() == CONTENT
    assert (await app.client().get(f"/v2/{NAME}/blobs/{digest}")).files == [str(file_of(app, digest))]


async def test_a_push_keeps_a_copy_that_is_beyond_suspicion(app: App) -> None:
    """The file of a whole blob stays the one it was, and costs no sync."""
    digest = await push_blob(app.client(), CONTENT)
    before = file_of(app, digest).stat()
    await push_blob(app.client(), CONTENT, "team/other")
    assert file_of(app, digest).stat().st_ino == before.st_ino


async def test_damage_is_refused_while_the_registry_is_read_only(open_registry: Opener) -> None:
    """Nothing is written then, so it is found anew each time; no wrong byte is completed either."""
    read_only = [False]
    app: App = await open_registry(files=True, registry={"read_only": lambda: read_only[0]})
    digest = await push_blob(app.client(), CONTENT)
    read_only[0] = True
    flip_a_bit(file_of(app, digest), 0)
    for _ in range(2):
        with pytest.raises(BlobUnknown):
            await app.client().get(f"/v2/{NAME}/blobs/{digest}")
    assert await state_of(app, digest) == blobs.LIVE
    assert await damage_told(app) == []


async def test_a_damaged_manifest_is_unknown_until_it_is_pushed(app: App) -> None:
    """The database's bytes are hashed when they are read; damaged ones are never sent, by tag or by digest."""
    client = app.client()
    body = await push_image(client, "v1", b"layer")
    digest = str(Digest.of(body))
    await app.stores.metadata.write(lambda tx: tx.execute(_DAMAGE_MANIFESTS, content=body.replace(b"a", b"b", 1)))
    app.services.registry.manifests.cache._entries.clear()
    for reference in ("v1", digest):
        answer = await client.get(f"/v2/{NAME}/manifests/{reference}")
        assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])
        assert (await client.head(f"/v2/{NAME}/manifests/{reference}")).status == 404
    assert await damage_told(app) == [(findings.MANIFEST_DAMAGED, digest)]
    assert (await put_manifest(client, body, "v1")).status == 201
    assert await damage_told(app) == []
    app.services.registry.manifests.cache._entries.clear()
    assert (await client.get(f"/v2/{NAME}/manifests/v1")).body == body
    assert (await client.head(f"/v2/{NAME}/manifests/{digest}")).status == 200


async def test_a_damaged_manifest_is_healed_by_a_push_to_another_repository(app: App) -> None:
    """The bytes are shared, so whoever brings them brings them for all."""
    client = app.client()
    body = await push_image(client, "v1", b"layer")
    await app.stores.metadata.write(lambda tx: tx.execute(_DAMAGE_MANIFESTS, content=b"{}"))
    await push_image(client, "v1", b"layer", name="team/other")
    app.services.registry.manifests.cache._entries.clear()
    assert (await client.get(f"/v2/{NAME}/manifests/v1")).body == body
