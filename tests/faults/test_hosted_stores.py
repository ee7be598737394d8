"""Object stores that fail as hosted ones do (R11): clients notice nothing, and nothing wrong is stored or served.

Each cloud is asked through a proxy that refuses, resets, loses answers and changes bytes
(`tests/support/store_faults.py`).
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from google.auth.credentials import Credentials

from entrepot.adapters.blobs.objects.azure import AzureCloud
from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import Cloud
from entrepot.adapters.blobs.objects.gcs import GcsCloud
from entrepot.adapters.blobs.objects.s3 import S3Bucket
from entrepot.adapters.blobs.objects.s3_settings import S3Settings
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.oci.digest import Digest
from entrepot.oci.errors import RegistryError, Unavailable
from tests.contracts.blob_uploads import Bookkeeping, pieces_of, read
from tests.support.azurite import ACCOUNT
from tests.support.fake_gcs import running_fake_gcs
from tests.support.object_stores import azure_section, gcs_section, s3_section
from tests.support.store_faults import LOST_ANSWER, RESET, STALE_LIST, Fault, StoreProxy, refuse, store_proxy
from tests.support.store_operations import EXPIRED, INTERNAL_ERROR, SLOW_DOWN, UNAVAILABLE

Harmed = tuple[Cloud, StoreProxy]
#: Larger than a part, so that it goes in several.
LARGE = (18 << 20) + 12_345
#: What every cloud calls the request that ends an upload in parts.
COMPLETING = {"s3": "CompleteMultipartUpload", "azure": "PutBlockList", "gcs": "UploadChunk"}
#: Reads go on where they broke, and a session is asked for each of its pieces.
UNNAMED = {"GetObject", "GetBlob", "ReadObject", "QueryUpload"}
PARTS = {"s3": "UploadPart", "azure": "PutBlock", "gcs": "UploadChunk"}


class Renewed(Credentials):
    """Somebody who always has another token."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "first"

    def refresh(self, _request: object) -> None:
        """Get the next."""
        self.token = uuid.uuid4().hex


@pytest.fixture(params=["s3", "azure", "gcs"])
async def harmed(request: pytest.FixtureRequest) -> AsyncIterator[Harmed]:
    """Give a cloud and the proxy between it and its store, which does no harm yet."""
    if request.param == "gcs":
        with running_fake_gcs() as gcs:
            section = gcs_section(gcs.make_bucket(), chunksize=1 << 20)
            cloud: Cloud = GcsCloud(section, Renewed(), gcs.url)
            yield cloud, gcs.proxy
            await cloud.close()
        return
    server = request.getfixturevalue({"s3": "seaweedfs", "azure": "azurite"}[request.param])
    with store_proxy(request.param, server.port) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        if request.param == "s3":
            cloud = await S3Bucket.open(S3Settings.of(s3_section(server, regionendpoint=address)))
        else:
            more = {"serviceurl": f"{address}/{ACCOUNT}"}
            cloud = await AzureCloud.open(azure_section(server, server.make_container(), **more))
        proxy.heal()
        yield cloud, proxy
        await cloud.close()


def store_of(cloud: Cloud) -> Bookkeeping:
    """Give the blob store over a cloud, which comes again without long pauses."""
    return Bookkeeping(ObjectBlobStore(cloud, calls=Calls(pause=0.01)), {})


async def push(store: Bookkeeping, data: bytes) -> str:
    """Push a blob, and return its key."""
    upload, digest = uuid.uuid4().hex, Digest.of(data)
    await store.start_upload(upload)
    await store.append(upload, pieces_of(data, 1 << 18), offset=0, algorithm="sha256")
    await store.seal(upload, digest)
    return (await store.publish(upload, digest)).key


async def test_clients_notice_no_failure_of_one_in_ten(harmed: Harmed) -> None:
    """Of 120 pushes and pulls, large and small, none fails; no request is sent over four times; no byte is wrong."""
    cloud, proxy = harmed
    for fault, share in (
        (refuse(SLOW_DOWN), 0.04),
        (refuse(INTERNAL_ERROR), 0.02),
        (refuse(UNAVAILABLE), 0.02),
        (RESET, 0.01),
        (LOST_ANSWER, 0.02),
    ):
        proxy.fail(fault, share=share)
    store, source = store_of(cloud), random.Random(11)
    blobs = [source.randbytes(LARGE if n % 60 == 0 else source.randint(0, 20_000)) for n in range(120)]
    keys, failed = [], 0
    for start in range(0, len(blobs), 10):
        done = await asyncio.gather(*(push(store, data) for data in blobs[start : start + 10]), return_exceptions=True)
        failed += sum(isinstance(key, BaseException) for key in done)
        keys += done
    assert failed == 0, [key for key in keys if isinstance(key, BaseException)]
    for key, data in zip(keys, blobs, strict=True):
        assert await read(store, key) == data
    hurt = sum(seen.fault is not None for seen in proxy.seen)
    assert hurt > len(proxy.seen) / 20, "the proxy did no harm"
    again = Counter((seen.operation, seen.asked.target, seen.asked.headers.get("content-range")) for seen in proxy.seen)
    named = {what: times for what, times in again.items() if what[0] not in UNNAMED}
    assert max(named.values()) <= 4, max(named, key=lambda what: named[what])
    proxy.rules.clear()
    # Nobody knows an upload in parts whose beginning was answered to nobody; it is ended when it is a day old.
    begun = [seen for seen in proxy.seen if seen.operation == "CreateMultipartUpload" and seen.fault == LOST_ANSWER]
    assert len([found async for found in cloud.list_multiparts("")]) <= len(begun)


async def test_lost_answers_leave_one_blob(harmed: Harmed, request: pytest.FixtureRequest) -> None:
    """The answer to each step of an upload is lost once: the blob is there once, whole, and nothing beside it."""
    cloud, proxy = harmed
    store, data = store_of(cloud), random.Random(1).randbytes(LARGE)
    for on in ("PutObject", "PutBlob", "InsertObject", "CreateMultipartUpload", "StartUpload", *PARTS.values()):
        proxy.fail(LOST_ANSWER, on=on, times=1)
    proxy.fail(LOST_ANSWER, on=COMPLETING[proxy.kind], skip=1, times=1)
    key, small = await push(store, data), await push(store, b"small")
    assert await read(store, key) == data
    assert await read(store, small) == b"small"
    assert {found.name async for found in cloud.list("")} == {key, small}


async def test_changed_bytes_never_become_a_blob(harmed: Harmed) -> None:
    """A bit that changes on its way to the store is found there or by its sum, and never served."""
    cloud, proxy = harmed
    store = store_of(cloud)
    for on in ("PutObject", "PutBlob", "InsertObject"):
        proxy.fail(Fault(flip="there"), on=on, times=1)
    assert await read(store, await push(store, b"small" * 1000)) == b"small" * 1000
    proxy.heal()
    data = random.Random(2).randbytes(LARGE)
    rule = proxy.fail(Fault(flip="there"), on=PARTS[proxy.kind], times=1)
    try:
        key = await push(store, data)
    except RegistryError:  # it is given up, and the client pushes again
        key = await push(store, data)
    assert rule.hits == 1
    assert await read(store, key) == data


async def test_a_body_that_breaks_off_goes_on_where_it_broke(harmed: Harmed) -> None:
    """A download whose connection to the store is cut again and again gets every byte, once."""
    cloud, proxy = harmed
    store, data = store_of(cloud), random.Random(3).randbytes(LARGE)
    key = await push(store, data)
    proxy.fail(Fault(cut_after=3 << 20), on="*Object", times=3)
    proxy.fail(Fault(cut_after=3 << 20), on="GetBlob", times=3)
    assert await read(store, key) == data
    assert await read(store, key, 1 << 20, 5 << 20) == data[1 << 20 : 6 << 20]


async def test_expired_credentials_are_no_end(harmed: Harmed) -> None:
    """The store calls credentials expired now and then, under load: they are renewed, and the request is sent again."""
    cloud, proxy = harmed
    store, source = store_of(cloud), random.Random(4)
    proxy.fail(refuse(EXPIRED), share=0.05, times=20)
    blobs = [source.randbytes(5000) for _ in range(60)]
    keys = await asyncio.gather(*(push(store, data) for data in blobs))
    assert [await read(store, key) for key in keys] == blobs


async def test_stale_lists_hide_and_invent_nothing(harmed: Harmed) -> None:
    """A listing that is behind concerns nobody who pushes or pulls: no request of theirs is one."""
    cloud, proxy = harmed
    store = store_of(cloud)
    before = [found.name async for found in cloud.list("")]
    proxy.fail(STALE_LIST)
    listed = proxy.counts
    keys = [await push(store, bytes([n]) * 1000) for n in range(5)]
    assert [await read(store, key) for key in keys] == [bytes([n]) * 1000 for n in range(5)]
    assert all(proxy.counts[name] == listed[name] for name in ("ListObjects", "ListBlobs", "ListMultipartUploads"))
    assert [found.name async for found in cloud.list("")] == before


async def test_a_store_that_only_fails_is_left_alone(harmed: Harmed) -> None:
    """When nothing succeeds, callers are told at once to come again, and soon after it is whole everything works."""
    cloud, proxy = harmed
    store = store_of(cloud)
    proxy.fail(refuse(UNAVAILABLE))
    for _ in range(3):
        with pytest.raises(Unavailable) as told:
            await asyncio.gather(*(push(store, b"%d" % n) for n in range(10)))
        assert told.value.retry_after >= 1
    asked = len(proxy.seen)
    with pytest.raises(Unavailable):
        await push(store, b"at rest")
    assert len(proxy.seen) <= asked + 1
    proxy.heal()
    loop = asyncio.get_running_loop()
    healed = loop.time()
    while True:
        try:
            key = await push(store, b"again")
        except Unavailable:
            assert loop.time() - healed < 6
            await asyncio.sleep(0.2)
        else:
            break
    assert await read(store, key) == b"again"


@pytest.mark.parametrize("harmed", ["s3"], indirect=True)
async def test_an_error_in_a_200_is_an_error(harmed: Harmed) -> None:
    """S3 may answer 200 and say in the body that completing failed: it is done again, and the blob is whole."""
    cloud, proxy = harmed
    store, data = store_of(cloud), random.Random(5).randbytes(LARGE)
    rule = proxy.fail(refuse(INTERNAL_ERROR, status=200), on="CompleteMultipartUpload", times=2)
    assert await read(store, await push(store, data)) == data
    assert rule.hits == 2
