"""The proxy that harms object stores does what it is told, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
import pytest
from aiohttp import web

from tests.support.listener import Listener, listening
from tests.support.store_faults import LOST_ANSWER, RESET, STALE_LIST, Fault, StoreProxy, refuse, store_proxy
from tests.support.store_operations import CLOCK_SKEW, INTERNAL_ERROR, SLOW_DOWN, Asked, Kind, operation

DATA = bytes(range(256)) * 1000


@pytest.fixture
async def store() -> AsyncIterator[Listener]:
    """Give a server that says which bytes came to it, gives bytes, and lists how often it was asked to list."""
    lists = 0

    async def blob(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(body=DATA)
        return web.Response(text=hashlib.sha256(await request.read()).hexdigest())

    async def bucket(_request: web.Request) -> web.Response:
        nonlocal lists
        lists += 1
        return web.Response(text=str(lists))

    async with listening({"/bucket/blob": blob, "/bucket": bucket}) as listener:
        yield listener


@pytest.fixture
async def asked(store: Listener) -> AsyncIterator[tuple[StoreProxy, aiohttp.ClientSession]]:
    """Give the proxy, and a client of it."""
    with store_proxy("s3", store.port) as proxy:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as client:
            yield proxy, client


Parts = tuple[StoreProxy, aiohttp.ClientSession]


@pytest.mark.parametrize("expect", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
async def test_what_is_not_harmed_passes(asked: Parts, store: Listener, *, expect: bool, chunked: bool) -> None:
    """Bytes go through whole in both directions, with the host that the client named, and are counted."""
    proxy, client = asked

    async def pieces() -> AsyncIterator[bytes]:
        yield DATA

    async with client.put("/bucket/blob", data=pieces() if chunked else DATA, expect100=expect) as answer:
        assert await answer.text() == hashlib.sha256(DATA).hexdigest()
    async with client.get("/bucket/blob") as answer:
        assert await answer.read() == DATA
    assert proxy.counts == {"PutObject": 1, "GetObject": 1}
    assert {request.headers["host"] for request in store.heard} == {f"127.0.0.1:{proxy.port}"}


async def test_refusals(asked: Parts, store: Listener) -> None:
    """A refused request never reaches the store, and the next one on the same connection passes."""
    proxy, client = asked
    proxy.fail(refuse(SLOW_DOWN), on="Put*", times=1)
    proxy.fail(refuse(INTERNAL_ERROR, status=200), on="CompleteMultipartUpload")
    proxy.fail(refuse(CLOCK_SKEW, skew=7200), on="HeadObject")
    async with client.put("/bucket/blob", data=DATA) as answer:
        assert (answer.status, "SlowDown" in await answer.text()) == (503, True)
    async with client.post("/bucket/blob?uploadId=1", data=b"<x/>") as answer:
        assert (answer.status, "InternalError" in await answer.text()) == (200, True)
    async with client.head("/bucket/blob") as answer:
        assert answer.status == HTTPStatus.FORBIDDEN
        ahead = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert store.heard == []
    async with client.put("/bucket/blob", data=DATA) as answer:
        assert answer.status == HTTPStatus.OK
        assert ahead - parsedate_to_datetime(answer.headers["date"]).timestamp() > 7000


async def test_broken_connections(asked: Parts, store: Listener) -> None:
    """A reset comes before the store is asked, or after it has done everything."""
    proxy, client = asked
    proxy.fail(RESET, on="CreateMultipartUpload", times=1)
    proxy.fail(LOST_ANSWER, on="CreateMultipartUpload", times=1)
    for reached in (0, 1):
        with pytest.raises(aiohttp.ClientError):
            await client.post("/bucket/blob?uploads", data=DATA)
        assert len(store.heard) == reached


async def test_harmed_bodies(asked: Parts) -> None:
    """A body ends early though more was announced, or one bit of it is another one, there or back."""
    proxy, client = asked
    proxy.fail(Fault(cut_after=70_000), on="GetObject", times=1)
    proxy.fail(Fault(flip="back"), on="GetObject", times=1)
    proxy.fail(Fault(flip="there"), on="PutObject", times=1)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with client.get("/bucket/blob") as answer:
            await answer.read()
    async with client.get("/bucket/blob") as answer:
        got = await answer.read()
    assert sum(a != b for a, b in zip(got, DATA, strict=True)) == 1
    async with client.put("/bucket/blob", data=DATA) as answer:
        assert await answer.text() != hashlib.sha256(DATA).hexdigest()


async def test_stale_lists(asked: Parts) -> None:
    """A stale listing is the one that was given first."""
    proxy, client = asked

    async def listed() -> str:
        async with client.get("/bucket?list-type=2") as answer:
            return await answer.text()

    assert [await listed(), await listed()] == ["1", "2"]
    proxy.fail(STALE_LIST, times=1)
    assert [await listed(), await listed()] == ["1", "3"]


async def test_slow_answers(asked: Parts) -> None:
    """The first byte can be late, and the others drip."""
    proxy, client = asked
    loop = client._loop
    proxy.fail(Fault(wait=0.3), times=1)
    proxy.fail(Fault(rate=1_000_000), times=1)
    for seconds in (0.3, 0.2):
        begun = loop.time()
        async with client.get("/bucket/blob") as answer:
            assert await answer.read() == DATA
        assert loop.time() - begun >= seconds


@pytest.mark.parametrize(
    ("kind", "method", "target", "headers", "name"),
    [
        ("s3", "PUT", "/b/k?partNumber=1&uploadId=x", {}, "UploadPart"),
        ("s3", "POST", "/b/k?uploads", {}, "CreateMultipartUpload"),
        ("s3", "DELETE", "/b/k?uploadId=x", {}, "AbortMultipartUpload"),
        ("s3", "PUT", "/b/k", {"x-amz-copy-source": "/b/o"}, "CopyObject"),
        ("s3", "POST", "/b?delete", {}, "DeleteObjects"),
        ("s3", "GET", "/b?uploads", {}, "ListMultipartUploads"),
        ("azure", "PUT", "/a/c/k?comp=block&blockid=x", {}, "PutBlock"),
        ("azure", "GET", "/a/c/k?comp=blocklist", {}, "GetBlockList"),
        ("azure", "PUT", "/a/c/k", {}, "PutBlob"),
        ("azure", "GET", "/a/c?restype=container&comp=list", {}, "ListBlobs"),
        ("azure", "HEAD", "/a/c/k", {}, "GetBlobProperties"),
        ("gcs", "POST", "/upload/storage/v1/b/b/o?uploadType=resumable&name=k", {}, "StartUpload"),
        ("gcs", "PUT", "/upload/resumable/x?upload_id=x", {"content-range": "bytes */*"}, "QueryUpload"),
        ("gcs", "PUT", "/upload/resumable/x?upload_id=x", {"content-range": "bytes 0-1/2"}, "UploadChunk"),
        ("gcs", "GET", "/storage/v1/b/b/o/k?alt=media", {}, "ReadObject"),
        ("gcs", "GET", "/storage/v1/b/b/o?prefix=x", {}, "ListObjects"),
    ],
)
def test_operations_have_the_names_of_the_services(
    kind: Kind, method: str, target: str, headers: dict[str, str], name: str
) -> None:
    """Rules and counts speak of operations as the services' references do."""
    assert operation(kind, Asked(method=method, target=target, headers=headers)) == name
