"""Limits: what is too large, too slow or too much is refused in OCI form."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from entrepot.oci.errors import Unavailable
from entrepot.web.body import BodyLimits
from entrepot.web.settings import RequestLimits
from tests.http.pushing import NAME, push_blob, start_upload
from tests.http.transport import AsgiClient, Message
from tests.support.app import App, Opener
from tests.support.manifests import digest_of


async def test_a_long_uri_is_414(client: AsgiClient) -> None:
    """Path and query together may have 8 KiB."""
    for target in (f"/v2/{'a' * 9000}", f"/v2/?x={'a' * 9000}"):
        answer = await client.get(target)
        assert (answer.status, answer.codes) == (414, ["UNSUPPORTED"])
        assert answer["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    "headers", [{f"X-{number}": "1" for number in range(95)}, {"X-Large": "a" * 50_000}], ids=["many", "large"]
)
async def test_too_many_headers_are_431(client: AsgiClient, headers: dict[str, str]) -> None:
    """More fields or bytes of headers than any client needs are refused with an explanation."""
    answer = await client.get("/v2/", headers=headers)
    assert (answer.status, answer.codes) == (431, ["UNSUPPORTED"])


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "3"), ("Transfer-Encoding", "chunked")],
        [("Content-Length", "3"), ("Content-Length", "3")],
        [("Content-Length", "3"), ("Content-Length", "4")],
        [("Content-Length", "+3")],
        [("Content-Length", "3,3")],
        [("Content-Length", "-1")],
        [("Content-Length", "")],
        [("Content-Length", "9" * 30)],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
    ],
)
async def test_an_unclear_end_of_the_body_is_400(client: AsgiClient, headers: list[tuple[str, str]]) -> None:
    """Headers that two programs could read differently are refused on every path, and the connection is closed."""
    for target in ("/v2/", f"/v2/{NAME}/blobs/uploads/", "/nothing"):
        answer = await client.post(target, headers=headers, body=b"abc")
        assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
        assert answer["Connection"] == "close"


async def test_a_stalled_body_is_408(open_registry: Opener) -> None:
    """A client that sends nothing for too long gets 408 and is cut; what arrived before stays."""
    limits = RequestLimits(body=BodyLimits(stall_seconds=0.1))
    client = (await open_registry(web={"limits": limits})).client()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"x" * 100
        await asyncio.sleep(30)

    location = await start_upload(client)
    began = time.monotonic()
    answer = await client.patch(location, body=stalled())
    assert (answer.status, answer.codes, answer["Connection"]) == (408, ["UNAVAILABLE"], "close")
    assert time.monotonic() - began < 5
    assert (await client.get(location))["Range"] == "0-99"


async def test_a_dripping_body_is_408(open_registry: Opener) -> None:
    """A body below the least rate is cut after one window, although it never stalls."""
    body = BodyLimits(stall_seconds=5, window_seconds=0.2, bytes_per_second=10_000)
    client = (await open_registry(web={"limits": RequestLimits(body=body)})).client()

    async def dripping() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    answer = await client.patch(await start_upload(client), body=dripping())
    assert (answer.status, answer["Connection"]) == (408, "close")


async def test_a_slow_body_above_the_rate_is_taken(open_registry: Opener) -> None:
    """A client that is slow but fast enough is served."""
    body = BodyLimits(stall_seconds=5, window_seconds=0.05, bytes_per_second=1000)
    client = (await open_registry(web={"limits": RequestLimits(body=body)})).client()

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(10):
            await asyncio.sleep(0.02)
            yield b"x" * 500

    answer = await client.put(f"{await start_upload(client)}?digest={digest_of(b'x' * 5000)}", body=slow())
    assert answer.status == 201


async def test_too_many_requests_at_once_are_503(open_registry: Opener) -> None:
    """Beyond the limit of one worker, clients are told when to come back; places are free again afterwards."""
    client = (await open_registry(web={"limits": RequestLimits(concurrent=2)})).client()
    release = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        await release.wait()
        yield b"x"

    running = [asyncio.create_task(client.patch(await start_upload(client), body=waiting())) for _ in range(2)]
    await asyncio.sleep(0.05)
    answer = await client.get("/v2/")
    assert (answer.status, answer.codes, answer["Retry-After"]) == (503, ["UNAVAILABLE"], "1")
    assert (await client.get("/healthz")).status == 200
    assert (await client.get("/readyz")).status == 200
    release.set()
    assert [(await task).status for task in running] == [202, 202]
    assert (await client.get("/v2/")).status == 200


async def test_an_unexpected_error_is_500_without_detail(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw is answered in OCI form, tells nothing about itself, and is in the log once."""
    monkeypatch.setattr("entrepot.oci.reference._parse_name", lambda text: 1 / 0)
    answer = await client.get("/v2/a/tags/list")
    assert (answer.status, answer.codes) == (500, ["UNKNOWN"])
    assert b"division" not in answer.body
    (record,) = [record for record in caplog.records if "failed" in record.message]
    assert answer["X-Request-Id"] in record.message
    assert "ZeroDivisionError" in (record.exc_text or "")


async def test_a_stream_that_breaks_is_visibly_broken(open_registry: Opener, caplog: pytest.LogCaptureFixture) -> None:
    """After the head is out, an error ends the transfer without its last byte; the server closes the connection."""
    app: App = await open_registry(files=True)
    content = bytes(range(256)) * 4096
    digest = await push_blob(app.client(), content)
    assert app.services.files is not None
    with pytest.raises(Unavailable):
        await _cut_while_streaming(app, app.services.files.path(digest), digest)
    assert any("broken off" in record.message for record in caplog.records)


async def _cut_while_streaming(app: App, path: Path, digest: str) -> None:
    sent: list[Message] = []
    client = app.client(files=False)
    scope = client._scope("GET", f"/v2/{NAME}/blobs/{digest}", [("Range", "bytes=1-")])

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)
        os.truncate(path, 1)

    try:
        await app.application(scope, receive, send)
    finally:
        assert sent[0]["status"] == 206
        assert all(message.get("more_body", True) for message in sent[1:]), "it must not look complete"


async def test_random_requests_never_break_the_application(client: AsgiClient) -> None:
    """Thousands of odd requests get answers below 500."""
    for method, target, headers in _odd_requests(3000):
        answer = await client.request(method, target, headers=headers, body=b"{}")
        assert 200 <= answer.status < 500, (method, target, headers, answer.body)


def _odd_requests(number: int) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    source = random.Random(20)
    words = ["v2", "_catalog", "tags", "list", "manifests", "blobs", "uploads", "referrers", "_oci", "ext", "discover"]
    words += ["a", "team/app", "latest", "sha256:" + "0" * 64, "sha512:" + "0" * 128, "sha256:", "..", ".", "", "A"]
    words += ["%2f", "%00", "%", "\xff", "x" * 300, "*"]
    parameters = ["n", "last", "digest", "mount", "from", "tag", "ns", "artifactType", "digest-algorithm", "x"]
    values = [
        "",
        "0",
        "-1",
        "1e9",
        "sha256:" + "0" * 64,
        "%00",
        "%ff",
        "a/b",
        "../x",
        "\xe9",
        "9" * 60,
        "sha512",
        "a b",
    ]
    names = [
        "Range",
        "Content-Range",
        "If-None-Match",
        "If-Range",
        "Accept",
        "Authorization",
        "Content-Type",
        "Forwarded",
    ]
    texts = [
        "",
        "bytes=0-",
        "0-1",
        "*",
        "\xff",
        "a,b,c",
        "Basic ====",
        "Bearer",
        "application/json;q=x",
        "9" * 40 + "-",
        '"',
        ";;;",
    ]
    for _ in range(number):
        path = "/" + "/".join(source.choices(words, k=source.randint(0, 6)))
        if source.random() < 0.8:
            path = "/v2" + path
        query = "&".join(f"{source.choice(parameters)}={source.choice(values)}" for _ in range(source.randint(0, 3)))
        headers = [(source.choice(names), source.choice(texts)) for _ in range(source.randint(0, 3))]
        method = source.choice(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X"])
        yield method, f"{path}?{query}" if query else path, headers
