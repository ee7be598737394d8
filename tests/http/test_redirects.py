"""Blobs that clients fetch from the store: what is a 307, to where, and what never is."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from entrepot.adapters.blobs.cache.disk_cache import DiskCache
from entrepot.adapters.delivery.networks import Networks
from entrepot.adapters.delivery.urls import PlainUrls, PresignedUrls, UrlsByNetwork
from entrepot.metadata.database import Transaction
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs
from entrepot.oci.errors import Unavailable
from entrepot.registry.object_looks import ObjectLooks
from entrepot.registry.ports import BlobUrls, StoredBlob
from entrepot.telemetry.access_log import AccessLog
from entrepot.web.application import Application
from tests.http.pushing import NAME, push_blob, push_image
from tests.http.transport import Answer, AsgiClient
from tests.support.app import App, Opener
from tests.support.presigning import PresigningStore

#: More than what is answered from memory (`registry.small_blobs.SMALL`).
CONTENT = bytes(range(256)) * 400
_FORGET_VERIFIED = Query(update(blobs).values(verified_at=None), "test.forget_verified")


async def _forget(tx: Transaction) -> None:
    await tx.execute(_FORGET_VERIFIED)


@dataclass
class Redirecting:
    """A registry over an object store."""

    app: App
    store: PresigningStore
    now: list[float]

    @property
    def client(self) -> AsgiClient:
        """Return a client."""
        return self.app.client()

    async def get(self, digest: str, **headers: str) -> Answer:
        """Ask for a blob."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.get(f"/v2/{NAME}/blobs/{digest}", headers=named)


@pytest.fixture
async def redirecting(open_registry: Opener) -> Redirecting:
    """Give a registry that sends clients to its store."""
    store, now = PresigningStore(), [1000.0]
    urls = PresignedUrls(store, lambda: now[0])
    return Redirecting(await open_registry(store=store, services={"urls": urls}), store, now)


async def test_a_blob_is_fetched_from_the_store(redirecting: Redirecting) -> None:
    """GET answers 307 with a signed URL, whose bytes are the blob's; the store is asked for nothing."""
    digest = await push_blob(redirecting.client, CONTENT)
    redirecting.store.asked.clear()
    answer = await redirecting.get(digest)
    assert (answer.status, answer.body) == (307, b"")
    assert redirecting.store.fetch(answer["Location"]) == CONTENT
    assert answer["Docker-Content-Digest"] == digest
    assert answer["Cache-Control"] == "no-store", "whoever has the URL is let in"
    assert redirecting.store.asked == {"presign": 1}


async def test_ranges_are_sent_on_too(redirecting: Redirecting) -> None:
    """One range is the store's to answer, as clients repeat it there; wrong ranges are refused here."""
    digest = await push_blob(redirecting.client, CONTENT)
    assert (await redirecting.get(digest, Range="bytes=0-")).status == 307
    assert (await redirecting.get(digest, Range="bytes=5-9")).status == 307
    assert (await redirecting.get(digest, Range="bytes=999999-")).status == 416
    several = await redirecting.get(digest, Range="bytes=0-1,5-9")
    assert several.status == 206, "no store answers several ranges"
    assert CONTENT[5:10] in several.body


async def test_what_the_store_is_not_asked_for(redirecting: Redirecting) -> None:
    """HEAD is answered from the row, a small blob from memory, and a known one with 304."""
    digest, small = await push_blob(redirecting.client, CONTENT), await push_blob(redirecting.client, b"small")
    assert (await redirecting.get(small)).body == b"small"  # read once
    redirecting.store.asked.clear()
    head = await redirecting.client.head(f"/v2/{NAME}/blobs/{digest}")
    assert (head.status, head["Content-Length"]) == (200, str(len(CONTENT)))
    assert (await redirecting.get(small)).body == b"small"
    assert (await redirecting.get(digest, If_None_Match=f'"{digest}"')).status == 304
    assert not redirecting.store.asked


async def test_a_pull_costs_the_store_nothing(redirecting: Redirecting) -> None:
    """Manifest and layers of an image are pulled again and again without a request to the store by the registry."""
    await push_image(redirecting.client, "latest", CONTENT, CONTENT + b"2")
    await _pull(redirecting)
    redirecting.store.asked.clear()
    for _ in range(3):
        await _pull(redirecting)
    assert not redirecting.store.asked


async def _pull(redirecting: Redirecting) -> None:
    manifest = (await redirecting.client.get(f"/v2/{NAME}/manifests/latest")).json()
    for entry in (manifest["config"], *manifest["layers"]):
        answer = await redirecting.get(entry["digest"])
        assert answer.status == (200 if entry["size"] <= 65536 else 307)


async def test_a_head_is_answered_again_from_memory(redirecting: Redirecting) -> None:
    """What the row says is given again while nothing is committed; a deleted blob is gone at once."""
    digest = await push_blob(redirecting.client, CONTENT)
    path = f"/v2/{NAME}/blobs/{digest}"
    await push_image(redirecting.client, "latest", CONTENT)  # so that it is not to go
    for _ in range(3):
        head = await redirecting.client.head(path)
        assert (head.status, head["Content-Length"]) == (200, str(len(CONTENT)))
    await redirecting.app.stores.metadata.write(_out_of_sight)
    assert (await redirecting.client.head(path)).status == 404


_HIDE = Query(update(blobs).values(state="damaged"), "test.hide")


async def _out_of_sight(tx: Transaction) -> None:
    await tx.execute(_HIDE)


async def test_one_url_is_given_again_for_ten_minutes(redirecting: Redirecting) -> None:
    """To sign costs: all who ask within ten minutes get the same URL, and it is good for ten more."""
    digest = await push_blob(redirecting.client, CONTENT)
    first = (await redirecting.get(digest))["Location"]
    redirecting.now[0] += 599
    assert (await redirecting.get(digest))["Location"] == first
    assert redirecting.store.asked["presign"] == 1
    assert "expires=1200" in first
    redirecting.now[0] += 1
    await redirecting.get(digest)
    assert redirecting.store.asked["presign"] == 2


async def test_who_may_not_read_is_sent_nowhere(open_registry: Opener) -> None:
    """A URL lets in whoever has it, so it is given only to whom the registry would give the bytes."""
    store = PresigningStore()
    app = await open_registry(store=store, signed_in=True, services={"urls": PresignedUrls(store)})
    owner = await app.account("owner", ("project:project", "pull,push"))
    await app.account("stranger")
    pusher = await app.bearer(owner, "repository:project/app:pull,push")
    digest = await push_blob(pusher, CONTENT, name="project/app")
    path = f"/v2/project/app/blobs/{digest}"
    assert (await pusher.get(path)).status == 307
    for client in (app.client(), app.basic("stranger")):
        answer = await client.get(path)
        assert (answer.status, "Location" in answer) == (401, False)
    missing = await pusher.get(f"/v2/project/other/blobs/{digest}")
    assert (missing.status, "Location" in missing) in {(401, False), (404, False)}


async def test_suspect_blobs_pass_through_the_registry(redirecting: Redirecting) -> None:
    """What was never verified is hashed on its way out; only after that are clients sent to the store for it."""
    digest = await push_blob(redirecting.client, CONTENT)
    await redirecting.app.stores.metadata.write(_forget)  # as a blob taken over from registry:2
    first = await redirecting.get(digest)
    assert (first.status, first.body) == (200, CONTENT)
    assert (await redirecting.get(digest)).status == 307


async def test_damaged_blobs_are_never_sent_out(redirecting: Redirecting) -> None:
    """A suspect blob whose bytes are others is refused, and gone for HEAD, so that clients push it again."""
    digest = await push_blob(redirecting.client, CONTENT)
    redirecting.store._blobs[digest] = CONTENT[:-1] + b"x"
    await redirecting.app.stores.metadata.write(_forget)
    answer = await redirecting.client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": "bytes=0-9"})
    assert answer.status == 404
    assert (await redirecting.client.head(f"/v2/{NAME}/blobs/{digest}")).status == 404


async def test_excepted_networks_get_the_bytes_here(open_registry: Opener) -> None:
    """Clients in a network that does not reach the store are served by the registry, ranges too."""
    store = PresigningStore()
    networks = Networks([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")])
    urls = UrlsByNetwork(networks.hold, inside=None, outside=PresignedUrls(store))
    app = await open_registry(store=store, services={"urls": urls})
    digest = await push_blob(app.client(), CONTENT)
    for address, status in (
        ("10.1.2.3", 206),
        ("::ffff:10.1.2.3", 206),
        ("fd00::1", 206),
        ("192.0.2.1", 307),
        ("", 307),
    ):
        client = app.client(address=address)
        answer = await client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": "bytes=0-9"})
        assert (address, answer.status) == (address, status)
        assert answer.body == (CONTENT[:10] if status == 206 else b"")


async def test_files_behind_another_server(open_registry: Opener) -> None:
    """registry:2's `redirect` works over a folder, too; a blob whose file is lost is still noticed here."""
    urls: BlobUrls = PlainUrls("http://files.example.org/base/", lambda key: f"/docker/{key}")
    app = await open_registry(files=True, services={"urls": urls})
    digest = await push_blob(app.client(), CONTENT)
    path = f"/v2/{NAME}/blobs/{digest}"
    answer = await app.client().get(path)
    assert (answer.status, answer["Location"]) == (
        307,
        f"http://files.example.org/base/docker/{digest.replace(':', '%3A')}",
    )
    for file in app.folder.glob("docker/registry/v2/blobs/sha256/*/*/data"):
        file.unlink()
    assert (await app.client().get(path)).status == 404


async def test_bytes_fetched_elsewhere_count_against_the_limits(open_registry: Opener) -> None:
    """Whoever may have so many bytes a minute is refused when they have them, wherever they came from."""
    store = PresigningStore()
    app = await open_registry(
        store=store, services={"urls": PresignedUrls(store)}, rates={"projectbytes": "300000/minute"}
    )
    digest = await push_blob(app.client(), CONTENT)  # counts as well
    statuses = [(await app.client().get(f"/v2/{NAME}/blobs/{digest}")).status for _ in range(4)]
    assert statuses[0] == 307
    assert statuses[-1] == 429


@pytest.fixture
async def log_file(tmp_path: Path) -> AsyncIterator[tuple[AccessLog, Path]]:
    """Give an access log and where it writes."""
    path = tmp_path / "access.log"
    with path.open("wb") as file:
        log = AccessLog(formatter="json", descriptor=file.fileno())
        yield log, path
        log.close()


async def test_no_log_holds_a_signature(
    open_registry: Opener, log_file: tuple[AccessLog, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The query of a Location opens the blob, so it stands in no log at any level."""
    caplog.set_level("DEBUG")
    store = PresigningStore()
    log, path = log_file
    app = await open_registry(store=store, services={"urls": PresignedUrls(store), "access_log": log})
    digest = await push_blob(app.client(), CONTENT)
    query = urlsplit((await app.client().get(f"/v2/{NAME}/blobs/{digest}"))["Location"]).query
    log.close()
    assert "307" in path.read_text()
    for text in (path.read_text(), caplog.text):
        assert query.split("signature=")[1] not in text
        assert "signature=" not in text


@pytest.fixture
async def looking(open_registry: Opener) -> Redirecting:
    """Give a registry that looks at its objects every hour."""
    store, now = PresigningStore(), [1000.0]
    app = await open_registry(store=store, services={"urls": PresignedUrls(store, lambda: now[0])})
    looks = ObjectLooks(
        metadata=app.stores.metadata,
        store=store,
        quarantine=app.services.registry.verifying.quarantine,
        every=3600.0,
        now=lambda: now[0],
    )
    services = replace(app.services, looks=looks)
    return Redirecting(replace(app, services=services, application=Application(services)), store, now)


async def _look(looking: Redirecting) -> None:
    assert looking.app.services.looks is not None
    task = asyncio.ensure_future(looking.app.services.looks.run())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_objects_are_looked_at_now_and_then(looking: Redirecting) -> None:
    """What was verified lately is not looked at, and afterwards once an hour, however often it is pulled."""
    digest = await push_blob(looking.client, CONTENT)
    looking.store.asked.clear()
    for _ in range(5):
        await looking.get(digest)
    await _look(looking)
    assert looking.store.asked["stat"] == 0
    await looking.app.stores.metadata.write(_verified_long_ago)
    for passed in (0, 3500, 200):
        looking.now[0] += passed
        for _ in range(5):
            assert (await looking.get(digest)).status == 307
        await _look(looking)
    assert looking.store.asked["stat"] == 2


_AGE_VERIFIED = Query(update(blobs).values(verified_at=blobs.c.verified_at - 86_400_000_000), "test.age_verified")


async def _verified_long_ago(tx: Transaction) -> None:
    await tx.execute(_AGE_VERIFIED)


async def test_another_object_is_verified_before_anybody_gets_it(looking: Redirecting) -> None:
    """Somebody wrote to the bucket: the next look sees another ETag, and pulls go through the registry, hashed."""
    digest = await push_blob(looking.client, CONTENT)
    await looking.app.stores.metadata.write(_verified_long_ago)
    looking.store._blobs[digest] = CONTENT[:-1] + b"x"
    assert (await looking.get(digest)).status == 307, "nobody has looked yet"
    await _look(looking)
    assert (await looking.client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": "bytes=0-9"})).status == 404


async def test_the_same_bytes_written_again_are_sent_out_again(looking: Redirecting) -> None:
    """An object that was copied over itself has another ETag; it is read once, and that is all."""
    digest = await push_blob(looking.client, CONTENT)
    await looking.app.stores.metadata.write(_verified_long_ago)
    looking.store.salt = b"uploaded in parts"
    await looking.get(digest)
    await _look(looking)
    assert (await looking.get(digest)).status == 200
    await looking.app.services.registry.verifying.flush()
    assert (await looking.get(digest)).status == 307
    looking.store.asked.clear()
    looking.now[0] += 4000
    assert (await looking.get(digest)).status == 307
    await _look(looking)
    assert looking.store.asked["stream"] == 0


@pytest.mark.parametrize("bytes_left", [None, 17])
async def test_lost_and_cut_objects_go_out_of_sight(looking: Redirecting, bytes_left: int | None) -> None:
    """A look that finds no object, or one of another size, has clients push the blob again."""
    digest = await push_blob(looking.client, CONTENT)
    await looking.app.stores.metadata.write(_verified_long_ago)
    if bytes_left is None:
        del looking.store._blobs[digest]
    else:
        looking.store._blobs[digest] = CONTENT[:bytes_left]
    await looking.get(digest)
    await _look(looking)
    path = f"/v2/{NAME}/blobs/{digest}"
    assert [(await looking.client.request(method, path)).status for method in ("GET", "HEAD")] == [404, 404]
    await push_blob(looking.client, CONTENT)
    assert (await looking.get(digest)).status == 307


async def test_a_store_that_is_away_is_looked_at_later(looking: Redirecting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails changes nothing, and is made again with the next pull."""
    digest = await push_blob(looking.client, CONTENT)
    await looking.app.stores.metadata.write(_verified_long_ago)

    async def away(key: str) -> StoredBlob:
        raise Unavailable(message=f"no answer about {key}")

    with monkeypatch.context() as patch:
        patch.setattr(looking.store, "stat", away)
        await looking.get(digest)
        await _look(looking)
    looking.store.asked.clear()
    assert (await looking.get(digest)).status == 307
    await _look(looking)
    assert looking.store.asked["stat"] == 1


async def test_what_passes_through_is_kept_on_this_node(open_registry: Opener) -> None:
    """With a disk cache a blob streams from the store once; then the server and the kernel send it from a file."""
    store = PresigningStore()
    app = await open_registry(store=store)
    content = CONTENT * 16
    digest = await push_blob(app.client(), content)
    cache = DiskCache(app.folder / "cache", 1 << 30, store=store, quarantine=app.services.registry.verifying.quarantine)
    services = replace(app.services, cache=cache)
    application, path = Application(services), f"/v2/{NAME}/blobs/{digest}"
    store.asked.clear()
    first = await AsgiClient(application).get(path)
    assert (first.status, first.body, first.files) == (200, content, [])
    await cache.settled()
    second = await AsgiClient(application).get(path)
    assert (second.body, len(second.files)) == (content, 1)
    part = await AsgiClient(application, parts=True).get(path, headers={"Range": f"bytes=10-{1 << 21}"})
    assert (part.status, part.body, part.parts) == (206, content[10:], [(10, len(content) - 10)])
    assert store.asked == {"stream": 1}
    await cache.close()
