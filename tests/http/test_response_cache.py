"""Answers that are given again: never after a commit, never to somebody else, and with all that each request gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from entrepot.metadata.opening import open_embedded
from entrepot.telemetry.access_format import RequestRecord
from entrepot.telemetry.access_log import AccessLog
from entrepot.web.application import Application
from entrepot.web.http import Asked
from entrepot.web.response_cache import Answer, ResponseCache
from entrepot.web.responses import Send
from tests.http.pushing import NAME, push_blob, push_image
from tests.http.transport import Answer as Received
from tests.http.transport import AsgiClient
from tests.support.app import App, Opener
from tests.support.manifests import digest_of
from tests.support.notes import putting

TAG = f"/v2/{NAME}/manifests/v1"


class Log(AccessLog):
    """An access log that keeps what it would write."""

    def __init__(self) -> None:
        super().__init__(enabled=True)
        self.records: list[RequestRecord] = []

    def write(self, record: RequestRecord) -> None:
        """Keep it."""
        self.records.append(record)


@pytest.fixture
def pulls() -> Counter[int]:
    """Give the counts of pulls by the row of the manifest."""
    return Counter()


@pytest.fixture
def log() -> Log:
    """Give an access log."""
    return Log()


@pytest.fixture
async def app(open_registry: Opener, pulls: Counter[int], log: Log) -> App:
    """Give a registry with files, whose pulls are counted and whose requests are logged."""
    services: Mapping[str, Any] = {"count_pull": lambda row: pulls.update([row]), "access_log": log}
    return await open_registry(files=True, services=services)


@pytest.fixture
def client(app: App) -> AsgiClient:
    """Give a client."""
    return app.client()


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """List the answers that are given again."""
    found: list[Answer] = []
    repeat = Application._repeat

    async def watched(application: Application, answer: Answer, send: Send) -> None:
        found.append(answer)
        await repeat(application, answer, send)

    monkeypatch.setattr(Application, "_repeat", watched)
    return found


def without_id(answer: Received) -> object:
    """Return what must be the same in two answers."""
    return answer.status, answer.body, sorted(pair for pair in answer.headers if pair[0] != "x-request-id")


async def repeat(client: AsgiClient, path: str, given: list[Answer], method: str = "GET", **options: Any) -> Received:
    """Ask until an answer is given again: it is the one that was worked out."""
    first = await client.request(method, path, **options)
    for _ in range(3):
        again = await client.request(method, path, **options)
        assert without_id(again) == without_id(first)
    assert given, "no answer was given again"
    given.clear()
    return again


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("what", ["tag", "digest", "blob"])
async def test_the_same_request_gets_the_same_answer(
    client: AsgiClient, given: list[Answer], method: str, what: str
) -> None:
    """To the byte, but for the request's id; a HEAD still has no body."""
    body = await push_image(client, "v1", b"a layer")
    paths = {"tag": TAG, "digest": f"/v2/{NAME}/manifests/{digest_of(body)}"}
    answer = await repeat(client, paths.get(what, f"/v2/{NAME}/blobs/{digest_of(b'a layer')}"), given, method)
    wanted = b"a layer" if what == "blob" else body
    assert (answer.status, answer["content-length"]) == (200, str(len(wanted)))
    assert answer.body == (wanted if method == "GET" else b"")


async def test_a_moved_tag_is_seen_at_once(client: AsgiClient, given: list[Answer]) -> None:
    """Whoever has a 201 sees the new tag, and so does everybody else."""
    await push_image(client, "v1", b"first")
    await repeat(client, TAG, given)
    second = await push_image(client, "v1", b"second")
    assert (await client.get(TAG)).body == second
    await client.delete(TAG)
    assert (await client.get(TAG)).status == 404
    assert given == []


async def test_what_another_process_commits_counts_too(app: App, client: AsgiClient, given: list[Answer]) -> None:
    """The proof is SQLite's own, whoever writes."""
    await push_image(client, "v1", b"first")
    await repeat(client, TAG, given)
    other = await open_embedded(app.folder / "entrepot")
    try:
        await other.metadata.write(putting("a", "1"))
    finally:
        await other.close()
    await client.get(TAG)
    assert given == []


async def test_a_commit_while_an_answer_is_worked_out_keeps_it_from_being_remembered(
    client: AsgiClient, given: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is remembered for the moment in which its request came, and only if that is still now."""
    await push_image(client, "v1", b"first")
    await repeat(client, TAG, given)
    keep = ResponseCache.keep
    moments = iter([b"before", b"after"])

    def late(cache: ResponseCache, asked: Asked, *arguments: Any) -> None:
        keep(cache, asked._replace(moment=next(moments)), *arguments)

    monkeypatch.setattr(ResponseCache, "keep", late)
    await push_image(client, "v1", b"second")
    for _ in range(2):
        assert (await client.get(TAG)).status == 200
    assert given == []


async def test_another_request_gets_another_answer(client: AsgiClient, given: list[Answer]) -> None:
    """Conditions, ranges, types, query and credentials are parts of the request."""
    layer = b"0123456789"
    body = await push_image(client, "v1", layer)
    await repeat(client, TAG, given)
    known = await repeat(client, TAG, given, headers={"If-None-Match": f'"{digest_of(body)}"'})
    assert (known.status, known.body) == (304, b"")
    warned = await repeat(client, TAG, given, headers={"Accept": "application/vnd.example"})
    assert "warning" in warned
    assert "oci-namespace" in await repeat(client, f"{TAG}?ns=docker.io", given)
    part = await repeat(client, f"/v2/{NAME}/blobs/{digest_of(layer)}", given, headers={"Range": "bytes=2-4"})
    assert (part.status, part.body) == (206, b"234")


async def test_an_answer_is_for_whoever_was_admitted(open_registry: Opener, given: list[Answer]) -> None:
    """Neither another credential nor another address gets it; and no longer than the admission lasts."""
    app = await open_registry(signed_in=True)
    owner = await app.account("owner", ("*", "*"))
    reader = await app.bearer(owner, f"repository:{NAME}:pull,push")
    await push_image(reader, "v1", b"layer")
    await repeat(reader, TAG, given)
    assert (await app.client().get(TAG)).status == 401
    assert (await reader.with_headers(Authorization_="x").get(TAG)).status == 200
    stranger = await app.bearer(await app.account("stranger"), f"repository:{NAME}:pull")
    assert (await stranger.get(TAG)).status == 401
    assert given == []
    await asyncio.sleep(1.1)
    await reader.get(TAG)
    assert given == []


async def test_names_with_passwords_go_the_long_way(open_registry: Opener, given: list[Answer]) -> None:
    """Those who count sign-ins see each of them."""
    app = await open_registry(signed_in=True)
    await app.account("owner", ("*", "*"))
    client = app.basic("owner")
    await push_image(client, "v1", b"layer")
    for _ in range(3):
        assert (await client.get(TAG)).status == 200
    assert given == []


async def test_every_repetition_is_counted_and_logged(
    app: App, client: AsgiClient, given: list[Answer], pulls: Counter[int], log: Log
) -> None:
    """As a pull, in the metrics, and by a line of its own with an id of its own, which the answer has, too."""
    await push_image(client, "v1", b"layer")
    log.records.clear()
    pulls.clear()
    last = await repeat(client, TAG, given)
    assert list(pulls.values()) == [4]
    assert len({record.request_id for record in log.records}) == 4
    assert len({record.exchange for record in log.records}) == 1
    assert log.records[-1].request_id == last["x-request-id"]
    assert 0 < log.records[-1].seconds < 60
    (family,) = [one for one in app.metrics.families() if one.name == "entrepot_http_request_seconds"]
    assert sum(family.series[("manifest", "GET", "200")][:-1]) == 4


async def test_the_head_of_a_lost_blob_is_not_given_again(app: App, client: AsgiClient, given: list[Answer]) -> None:
    """A push heals a lost blob only if the client is told that it is not there."""
    await push_image(client, "v1", b"layer")
    path = f"/v2/{NAME}/blobs/{digest_of(b'layer')}"
    await repeat(client, path, given, "HEAD")
    (file,) = [found for found in Path(app.folder).rglob("data") if found.read_bytes() == b"layer"]
    file.unlink()
    assert (await client.head(path)).status == 404


async def test_what_waits_for_collection_is_looked_at_each_time(client: AsgiClient, given: list[Answer]) -> None:
    """A HEAD renews its grace."""
    digest = await push_blob(client, b"nobody's")
    for _ in range(3):
        assert (await client.head(f"/v2/{NAME}/blobs/{digest}")).status == 200
    assert given == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_blob_of_a_deleted_image_is_looked_at_each_time(
    open_registry: Opener, given: list[Answer], method: str
) -> None:
    """It is there through the grace, which ends with no commit, and which a HEAD begins anew."""
    client = (await open_registry(files=True, registry={"trash_seconds": 3600.0})).client()
    body = await push_image(client, "v1", b"layer")
    assert (await client.delete(f"/v2/{NAME}/manifests/{digest_of(body)}")).status == 202
    for _ in range(3):
        assert (await client.request(method, f"/v2/{NAME}/blobs/{digest_of(b'layer')}")).status == 200
    assert given == []


@pytest.mark.parametrize("rates", [{"address": "1000/minute"}, {"project": "1000/minute"}])
async def test_what_counts_against_a_limit_goes_the_long_way(
    open_registry: Opener, given: list[Answer], rates: dict[str, str]
) -> None:
    """Each request is counted, and told how it stands."""
    app = await open_registry(rates=rates)
    client = app.client()
    await push_image(client, "v1", b"layer")
    standings = [(await client.get(TAG))["ratelimit"] for _ in range(3)]
    assert len(set(standings)) == 3
    assert given == []


async def test_a_request_with_a_body_goes_the_long_way(client: AsgiClient, given: list[Answer]) -> None:
    """Its bytes must be read, or the connection could not carry the next request."""
    await push_image(client, "v1", b"layer")
    for _ in range(3):
        assert (await client.get(TAG, headers={"Content-Length": "4"}, body=b"body")).status == 200
    assert given == []


async def test_what_is_remembered_is_bounded(
    app: App, client: AsgiClient, given: list[Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Different requests push each other out; credentials do not stand in memory."""
    monkeypatch.setattr("entrepot.web.response_cache._MOST", 4)
    await push_image(client, "v1", b"layer")
    for number in range(20):
        await client.get(TAG, headers={"User-Agent": f"client {number}", "Authorization": "Bearer secret-words"})
    cache = app.application._cache
    assert cache is not None
    assert 0 < len(cache._answers) <= 5
    assert "secret-words" not in repr(cache._answers)
    assert given == []
