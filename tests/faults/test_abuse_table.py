"""What registry:2 and registry:3 get wrong when somebody abuses them: one test for each probe, against real processes.

Probes that need a place of their own have files of their own: a full disk test_full_disk.py, kills test_kill9.py,
collections test_collection.py, half-open requests, dripped bodies and idle connections test_slow_clients.py, a PUT of
256 MiB test_large_blob.py.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from entrepot.oci.digest import Digest
from entrepot.registry.layout import blob_data
from tests.support.acknowledged import OCI_MANIFEST, digest_of
from tests.support.damage import flip_a_bit
from tests.support.http_client import Answer, Client
from tests.support.server import Server
from tests.support.writers import client_of

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry with two workers, as an operator of registry:2 would configure it."""
    with Server({"auth": {"none": {}}, "storage": {"delete": {"enabled": True}}}) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Client:
    """A client of it."""
    return Client.of(server)


def code(answer: Answer) -> str:
    """Give the code of the one error that an answer holds; each must say something to a person."""
    [error] = answer.json()["errors"]
    assert len(error["message"]) > 10
    return str(error["code"])


def put_manifest(client: Client, body: bytes) -> Answer:
    """Push a manifest by tag."""
    return client.request("PUT", "/v2/a/b/manifests/odd", body, {"Content-Type": OCI_MANIFEST})


def test_a_blob_in_use_cannot_be_deleted(client: Client) -> None:
    """Their answer is 202, and a broken image; ours 405 with the number of manifests that need it, until none does."""
    manifest = client.push_image("in/use", "one", b"a layer that is needed")
    layer = digest_of(b"a layer that is needed")
    refused = client.request("DELETE", f"/v2/in/use/blobs/{layer}")
    assert (refused.status, code(refused)) == (405, "UNSUPPORTED")
    assert refused.json()["errors"][0]["detail"]["references"] == 1
    assert client.request("GET", f"/v2/in/use/blobs/{layer}").status == 200
    assert client.request("DELETE", f"/v2/in/use/manifests/{manifest}").status == 202
    assert client.request("DELETE", f"/v2/in/use/blobs/{layer}").status == 202
    assert client.request("GET", f"/v2/in/use/blobs/{layer}").status == 404


def test_a_flipped_bit_in_a_stored_blob(server: Server, client: Client) -> None:
    """Theirs is sent whole under the digest, and stays after a push; ours is never sent whole, and a push heals it."""
    data = os.urandom(2 * MIB)
    digest = client.push_blob("flipped/bit", data)
    file = server.data / blob_data(Digest.parse(digest))
    flip_a_bit(file, MIB)
    broken = client.request("GET", f"/v2/flipped/bit/blobs/{digest}")
    assert (broken.status, broken.headers["content-length"]) == (200, str(len(data)))
    assert len(broken.body) < len(data), "every client takes that for a broken transfer"
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/v2/flipped/bit/blobs/{digest}").status == 404
    assert "blob damaged" in server.logs()
    client.push_blob("flipped/bit", data)
    assert client.request("GET", f"/v2/flipped/bit/blobs/{digest}").body == data
    assert file.read_bytes() == data


def test_a_push_of_a_blob_with_a_flipped_bit(server: Server, client: Client) -> None:
    """Theirs is 201 and the file stays as it is; ours is replaced though nobody has read it yet."""
    data = os.urandom(MIB)
    file = server.data / blob_data(Digest.parse(client.push_blob("flipped/unseen", data)))
    flip_a_bit(file, 7)
    client.push_blob("flipped/unseen", data)
    assert file.read_bytes() == data


async def test_two_chunks_at_once(server: Server) -> None:
    """Theirs are both accepted, and one is lost; of ours one is accepted and the other told 416 and where to go on."""
    data = os.urandom(64_000)
    async with client_of(server.url) as session:
        async with session.post("/v2/a/b/blobs/uploads/") as answer:
            location = answer.headers["Location"]
        answers = await asyncio.gather(*(session.patch(location, data=slowly(data)) for _ in range(2)))
        accepted, refused = sorted(answers, key=lambda answer: answer.status)
        assert (accepted.status, refused.status) == (202, 416)
        location = accepted.headers["Location"]
        assert refused.headers["Location"]
        assert refused.headers["Range"].startswith("0-")
        for answer in answers:
            answer.release()
        async with session.put(location, params={"digest": digest_of(data)}) as answer:
            assert answer.status == 201


async def slowly(data: bytes) -> AsyncIterator[bytes]:
    """Give a body in two halves, with time for somebody else between them."""
    half = len(data) // 2
    yield data[:half]
    await asyncio.sleep(0.3)
    yield data[half:]


@pytest.mark.parametrize("length", [256, 259, 1000, 5000])
def test_a_long_repository_name(client: Client, length: int) -> None:
    """Theirs is 500; ours 400 NAME_INVALID, for every verb."""
    for method, path in (("GET", "tags/list"), ("PUT", "manifests/x"), ("POST", "blobs/uploads/")):
        answer = client.request(method, f"/v2/{'a' * length}/{path}")
        assert (answer.status, code(answer)) == (400, "NAME_INVALID")


@pytest.mark.parametrize("length", [129, 1000, 5000])
def test_a_long_tag(client: Client, length: int) -> None:
    """A tag of more than 128 characters is refused when it is pushed, and unknown when it is asked for."""
    path = f"/v2/a/b/manifests/{'t' * length}"
    pushed = client.request("PUT", path, b"{}", {"Content-Type": OCI_MANIFEST})
    assert pushed.status == 400
    assert code(pushed) in ("TAG_INVALID", "MANIFEST_INVALID")
    assert client.request("GET", path).status in (400, 404)


@pytest.mark.parametrize("number", ["-1", "0x10", "1e3", "", "%31%30%30x", "99999999999999999999"])
def test_a_senseless_page_size(client: Client, number: str) -> None:
    """`_catalog?n=-1` is 200 with one of them; ours is 400 for whatever is no number of entries."""
    answer = client.request("GET", f"/v2/_catalog?n={number}")
    assert (answer.status, code(answer)) == (400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize(
    "body",
    [
        b'{"schemaVersion":2,"mediaType":"%s","mediaType":"%s","config":%s,"layers":[]}',
        b'{"mediaType":"x","schemaVersion":2,"mediaType":"%s","config":%s,"layers":[]}',
    ],
)
def test_a_manifest_that_says_a_thing_twice(client: Client, body: bytes) -> None:
    """Theirs is 201; parsers do not agree on which of two equal keys counts, so ours is 400."""
    empty = (
        b'{"mediaType":"application/vnd.oci.empty.v1+json","digest":"%s","size":2}'
        % client.push_blob("a/b", b"{}").encode()
    )
    words = [OCI_MANIFEST.encode()] * (body.count(b"%s") - 1)
    answer = put_manifest(client, body % (*words, empty))
    assert (answer.status, code(answer)) == (400, "MANIFEST_INVALID")


def test_a_manifest_that_is_an_image_and_an_index(client: Client) -> None:
    """With both `layers` and `manifests`, 400."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": client.push_blob("a/b", b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": empty, "layers": [empty], "manifests": []}
    answer = put_manifest(client, json.dumps(document).encode())
    assert (answer.status, code(answer)) == (400, "MANIFEST_INVALID")


def test_a_manifest_of_eight_mebibytes(client: Client) -> None:
    """Theirs is 400; ours 413."""
    answer = put_manifest(client, b'{"schemaVersion":2,"a":"' + b"a" * 8 * MIB + b'"}')
    assert (answer.status, code(answer)) == (413, "MANIFEST_INVALID")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_manifest_nested_two_hundred_thousand_deep(server: Server, client: Client, opening: bytes) -> None:
    """400 after less than 50 ms of work, and the worker does not break over it."""
    before = seconds_of_work(server)
    for _ in range(10):
        answer = put_manifest(client, opening * 200_000)
        assert (answer.status, code(answer)) == (400, "MANIFEST_INVALID")
    assert seconds_of_work(server) - before < 10 * 0.05


def seconds_of_work(server: Server) -> float:
    """Return what the workers have had of processors."""
    return sum(sum(worker.cpu_times()[:2]) for worker in server.web_workers())


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_a_session_of_another_repository(client: Client, method: str) -> None:
    """An upload opened in one repository is 404 under another."""
    location = client.request("POST", "/v2/a/b/blobs/uploads/").location
    query = f"&digest={digest_of(b'x')}"
    answer = client.request(method, location.replace("/v2/a/b/", "/v2/a/c/") + query, b"x")
    assert (answer.status, code(answer)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert client.request("PUT", location + query, b"x").status == 201
