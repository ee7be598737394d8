"""What hosted stores do: refuse, hang up, answer 200 with an error, list what was, run by another clock."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from entrepot.adapters.blobs.objects import s3_client
from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import CloudRefused
from entrepot.adapters.blobs.objects.s3 import S3Bucket
from entrepot.adapters.blobs.objects.s3_settings import S3Settings
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadUnknown, Unavailable
from entrepot.registry import layout
from tests.contracts.blob_uploads import Bookkeeping, append, push, read
from tests.support.listener import Listener, listening
from tests.support.object_stores import s3_section
from tests.support.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFs
from tests.support.store_faults import LOST_ANSWER, RESET, STALE_LIST, Fault, StoreProxy, refuse, store_proxy
from tests.support.store_operations import EXPIRED, INTERNAL_ERROR, SLOW_DOWN

MIB = 1 << 20


@pytest.fixture
def proxy(seaweedfs: SeaweedFs) -> Iterator[StoreProxy]:
    """Give what fails."""
    with store_proxy("s3", seaweedfs.port) as running:
        yield running


def section(seaweedfs: SeaweedFs, proxy: StoreProxy, **more: object) -> S3Settings:
    """Give the settings of a root behind the proxy."""
    return S3Settings.of(s3_section(seaweedfs, regionendpoint=f"http://127.0.0.1:{proxy.port}", **more))


@pytest.fixture
async def store(seaweedfs: SeaweedFs, proxy: StoreProxy) -> AsyncIterator[ObjectBlobStore]:
    """Give a store behind it, whose pauses are short."""
    opened = ObjectBlobStore(await S3Bucket.open(section(seaweedfs, proxy)), calls=Calls(pause=0.002))
    yield opened
    await opened.close()


async def _pushes(store: ObjectBlobStore, count: int, sizes: tuple[int, ...]) -> tuple[int, int]:
    """Push and read back; return how many succeeded, and how many gave other bytes."""
    rows, source = Bookkeeping(store, {}), random.Random(count)
    good = wrong = 0

    async def one(number: int) -> None:
        nonlocal good, wrong
        data = source.randbytes(sizes[number % len(sizes)])
        try:
            blob = await push(rows, data, upload_id=f"u{number}")
            got = await read(store, blob.key, 0, blob.size)
        except Unavailable:
            return
        good, wrong = good + 1, wrong + (got != data)

    for start in range(0, count, 16):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 16, count))))
    return good, wrong


async def test_one_request_in_twenty_fails(store: ObjectBlobStore, proxy: StoreProxy) -> None:
    """SlowDown, 500, resets and lost answers together: all pushes and pulls succeed, and no byte is another one."""
    for fault in (refuse(SLOW_DOWN), refuse(INTERNAL_ERROR), RESET, LOST_ANSWER):
        proxy.fail(fault, share=0.0125)
    assert await _pushes(store, 300, (100, 70_000, 900_000)) == (300, 0)
    assert sum(seen.fault is not None for seen in proxy.seen) > 10


async def test_large_blobs_beside_faults(store: ObjectBlobStore, proxy: StoreProxy) -> None:
    """The same for uploads in parts, with a completion that says 200 and means 500."""
    proxy.fail(refuse(SLOW_DOWN), on="UploadPart", share=0.04)
    proxy.fail(LOST_ANSWER, on="UploadPart", share=0.04)
    proxy.fail(refuse(INTERNAL_ERROR, status=200), on="CompleteMultipartUpload", share=0.3, times=2)
    proxy.fail(LOST_ANSWER, on="CompleteMultipartUpload", share=0.3)
    assert await _pushes(store, 10, (30 * MIB,)) == (10, 0)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("CompleteMultipartUpload", LOST_ANSWER),
        ("CompleteMultipartUpload", refuse(INTERNAL_ERROR, status=200)),
        ("CreateMultipartUpload", LOST_ANSWER),
        ("UploadPart", LOST_ANSWER),
        ("UploadPart", Fault(flip="there")),
        ("GetObject", Fault(cut_after=5 * MIB)),
    ],
    ids=["lost completion", "200 with an error", "lost beginning", "lost part", "changed part", "cut answer"],
)
async def test_what_happened_is_found_out(
    store: ObjectBlobStore, proxy: StoreProxy, operation: str, fault: Fault
) -> None:
    """Whatever the answer was, the blob is there once and whole."""
    proxy.fail(fault, on=operation, times=1)
    data = random.Random(1).randbytes(30 * MIB)
    blob = await push(Bookkeeping(store, {}), data)
    assert await read(store, blob.key, 0, blob.size) == data
    assert [found.key async for found in store.keys()] == [blob.key]


async def test_every_request_of_an_upload_may_be_the_last(
    seaweedfs: SeaweedFs, proxy: StoreProxy, store: ObjectBlobStore
) -> None:
    """A process that dies between any two requests loses nothing that was kept, and leaves what is found later."""
    data = random.Random(2).randbytes(30 * MIB)
    for skip in range(8):
        proxy.heal()
        proxy.fail(RESET, skip=skip)  # from here on nothing succeeds for this process
        rows = Bookkeeping(ObjectBlobStore(store.cloud, calls=Calls(pause=0.001, tries=1)), {})
        upload, sent, digest = f"killed{skip}", 0, Digest.of(data)
        await rows.start_upload(upload)
        try:
            sent = (await append(rows, upload, data[: 10 * MIB])).offset
            sent = (await append(rows, upload, data[10 * MIB :], offset=sent)).offset
            await rows.seal(upload, digest)
            await rows.publish(upload, digest)
        except Unavailable:
            pass
        proxy.heal()
        other = Bookkeeping(store, rows.rows)
        if upload not in rows.rows:
            continue
        offset = await other.upload_size(upload)
        assert offset >= sent
        if offset < len(data):
            await append(other, upload, data[offset:], offset=offset)
        await other.seal(upload, digest)
        blob = await other.publish(upload, digest)
        assert await read(store, blob.key, 0, blob.size) == data


async def test_a_stale_listing_removes_nothing(store: ObjectBlobStore, proxy: StoreProxy) -> None:
    """A walk that sees what was there before may miss what came since, and nothing is lost by that."""
    rows = Bookkeeping(store, {})
    first = await push(rows, b"first", upload_id="one")
    assert [blob.key async for blob in store.keys()] == [first.key]
    second = await push(rows, b"second", upload_id="two")
    proxy.fail(STALE_LIST)
    assert {blob.key async for blob in store.keys()} <= {first.key, second.key}
    assert await read(store, second.key) == b"second"


async def test_a_clock_that_is_wrong_is_corrected(
    store: ObjectBlobStore, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are signed by the clock of the store once it has refused ours, reads too; and by ours again after."""
    rows = Bookkeeping(store, {})
    kept = await push(rows, b"before", upload_id="before")
    monkeypatch.setattr(s3_client, "now", lambda: dt.datetime.now(dt.UTC) - dt.timedelta(hours=2))
    blob = await push(rows, b"two hours late", upload_id="late")
    assert await read(store, blob.key) == b"two hours late"
    assert await read(store, kept.key) == b"before"
    monkeypatch.undo()
    assert (await push(rows, b"in time", upload_id="in-time")).size == 7
    assert await read(store, blob.key) == b"two hours late"


async def test_a_store_that_is_silent_keeps_nobody_long(seaweedfs: SeaweedFs, proxy: StoreProxy) -> None:
    """Requests end after their time, with a word for the client; when the store is back, so are they."""
    calls = Calls(patience=1.0, pause=0.01)
    store = ObjectBlobStore(await S3Bucket.open(section(seaweedfs, proxy)), calls=calls)
    try:
        proxy.fail(Fault(wait=30))
        async with asyncio.timeout(3):
            with pytest.raises(Unavailable):
                await store.stat(f"{layout.OBJECTS}/ab/x.1")
        proxy.heal()
        assert (await push(Bookkeeping(store, {}), b"back")).size == 4
    finally:
        await store.close()


async def test_a_cancelled_upload_is_no_blob(store: ObjectBlobStore, proxy: StoreProxy) -> None:
    """Its parts were dropped, so whoever still wants to publish it is told."""
    rows = Bookkeeping(store, {})
    await rows.start_upload("gone")
    data = random.Random(3).randbytes(20 * MIB)
    await append(rows, "gone", data)
    sealed = await rows.seal("gone", Digest.of(data))
    await rows.cancel_upload("gone")
    with pytest.raises(BlobUploadUnknown):
        await store.publish("gone", Digest.of(data), known=sealed)


# Credentials.


@pytest.fixture
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the machine has."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


async def _works(seaweedfs: SeaweedFs, proxy: StoreProxy) -> ObjectBlobStore:
    settings = section(seaweedfs, proxy, accesskey="", secretkey="")
    store = ObjectBlobStore(await S3Bucket.open(settings), calls=Calls(pause=0.002))
    blob = await push(Bookkeeping(store, {}), b"by whom", upload_id="first")
    assert await read(store, blob.key) == b"by whom"
    return store


@pytest.mark.usefixtures("_no_credentials")
async def test_credentials_of_the_environment(
    seaweedfs: SeaweedFs, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS's variables count where the file names no key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    await (await _works(seaweedfs, proxy)).close()


@pytest.mark.usefixtures("_no_credentials")
async def test_credentials_of_a_file(
    seaweedfs: SeaweedFs, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """So does the file of the AWS tools."""
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    await (await _works(seaweedfs, proxy)).close()


def _given(seconds: int = 3600) -> dict[str, str]:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": ACCESS_KEY,
        "SecretAccessKey": SECRET_KEY,
        "Token": "",
        "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "LastUpdated": "2026-01-01T00:00:00Z",
    }


@pytest.fixture
async def metadata_service() -> AsyncIterator[Listener]:
    """Give an instance's own service of credentials."""

    async def token(_request: web.Request) -> web.Response:
        return web.Response(text="token", headers={"x-aws-ec2-metadata-token-ttl-seconds": "21600"})

    async def role(_request: web.Request) -> web.Response:
        return web.Response(text="registry")

    async def credentials(_request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(_given()))

    place = "/latest/meta-data/iam/security-credentials/"
    async with listening({"/latest/api/token": token, place: role, f"{place}registry": credentials}) as listener:
        yield listener


@pytest.mark.usefixtures("_no_credentials")
async def test_credentials_of_an_instance_are_renewed_under_load(
    seaweedfs: SeaweedFs, proxy: StoreProxy, metadata_service: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store says that they are over, newer ones are asked for, and no push fails."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata_service.url)
    store = await _works(seaweedfs, proxy)
    asked = len(metadata_service.heard)
    proxy.fail(refuse(EXPIRED), on="PutObject", share=0.2, times=5)
    assert await _pushes(store, 60, (1000,)) == (60, 0)
    assert len(metadata_service.heard) > asked
    await store.close()


@pytest.mark.usefixtures("_no_credentials")
async def test_credentials_of_a_web_identity(
    seaweedfs: SeaweedFs, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A token of Kubernetes is exchanged for credentials, again when it has changed."""
    given = _given()

    async def exchange(request: web.Request) -> web.Response:
        form = await request.post()
        assert (form["Action"], form["WebIdentityToken"]) == ("AssumeRoleWithWebIdentity", "token-of-a-pod")
        keys = f"<AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>"
        credentials = f"{keys}<SessionToken></SessionToken><Expiration>{given['Expiration']}</Expiration>"
        result = "AssumeRoleWithWebIdentityResult"
        result = f"<{result}><Credentials>{credentials}</Credentials></{result}>"
        name = "AssumeRoleWithWebIdentityResponse"
        xml = f'<{name} xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{result}</{name}>'
        return web.Response(text=xml, content_type="text/xml")

    (tmp_path / "token").write_text("token-of-a-pod")
    async with listening({"/": exchange}) as sts:
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/registry")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store = await _works(seaweedfs, proxy)
        proxy.fail(refuse(EXPIRED), on="PutObject", times=1)
        assert await _pushes(store, 10, (1000,)) == (10, 0)
        assert len(sts.heard) >= 2
        await store.close()


@pytest.mark.usefixtures("_no_credentials")
async def test_no_credentials_at_all_are_told(seaweedfs: SeaweedFs, proxy: StoreProxy) -> None:
    """The text says where they could come from."""
    with pytest.raises(CloudRefused, match="there are no credentials"):
        await S3Bucket.open(section(seaweedfs, proxy, accesskey="", secretkey=""))


async def test_a_store_that_fails_is_known_to_until_it_answers(store: ObjectBlobStore, proxy: StoreProxy) -> None:
    """After failures without a success the store counts as failing (`/readyz` says degraded); one answer ends that."""
    assert not store.calls.is_failing()
    proxy.fail(refuse(INTERNAL_ERROR))
    with pytest.raises(Unavailable):
        await push(Bookkeeping(store, {}), b"in vain")
    assert store.calls.is_failing()
    proxy.heal()
    await push(Bookkeeping(store, {}), b"again", upload_id="u2")
    assert not store.calls.is_failing()
