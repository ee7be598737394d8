"""R3: a whole registry on a disk that is full, or has no inodes left.

Each test mounts a small tmpfs, which takes root's rights. The blob store alone is looked at in test_disk_full_blobs.py,
the databases in tests/unit/metadata/test_full_disk.py.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import aiohttp
import pytest

from entrepot.oci.digest import Digest
from entrepot.registry.layout import blob_data
from tests.support.acknowledged import Ledger, digest_of
from tests.support.http_client import Answer, Client, eventually
from tests.support.mounts import free_bytes, small_disk
from tests.support.server import Server
from tests.support.writers import Writer, client_of

MIB = 1 << 20
Way = Callable[[aiohttp.ClientSession, str, bytes], Awaitable[tuple[int, bytes]]]
CONFIG = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}, "storage": {"delete": {"enabled": True}}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    with small_disk(tmp_path / "disk", "size=16m") as folder:
        yield folder


@pytest.fixture
def server(disk: Path) -> Iterator[Server]:
    """A registry on it."""
    with Server(CONFIG, data=disk / "data") as running:
        yield running


def is_full(status: int, body: bytes) -> bool:
    """Say whether an answer tells, in the protocol's form, that there is no room."""
    if status != 507:
        return False
    [error] = json.loads(body)["errors"]
    return error["code"] == "UNAVAILABLE" and "full" in error["message"]


def fill(disk: Path) -> Path:
    """Take every byte that is free; returns the file that has them."""
    stranger = disk / "stranger"
    with suppress(OSError):  # the server may take some of it meanwhile: full is full
        stranger.write_bytes(bytes(free_bytes(disk)))
    return stranger


async def in_mebibytes(data: bytes) -> AsyncIterator[bytes]:
    """Give a body whose length is not announced."""
    for start in range(0, len(data), MIB):
        yield data[start : start + MIB]


async def put_whole(session: aiohttp.ClientSession, location: str, data: bytes) -> tuple[int, bytes]:
    """Send everything with the closing PUT."""
    async with session.put(location, params={"digest": digest_of(data)}, data=io.BytesIO(data)) as answer:
        return answer.status, await answer.read()


async def put_streamed(session: aiohttp.ClientSession, location: str, data: bytes) -> tuple[int, bytes]:
    """Send everything with the closing PUT, its length not announced."""
    async with session.put(location, params={"digest": digest_of(data)}, data=in_mebibytes(data)) as answer:
        return answer.status, await answer.read()


async def patch_in_chunks(session: aiohttp.ClientSession, location: str, data: bytes) -> tuple[int, bytes]:
    """Send mebibyte after mebibyte, until one is refused."""
    for start in range(0, len(data), MIB):
        async with session.patch(location, data=data[start : start + MIB]) as answer:
            if answer.status != 202:
                return answer.status, await answer.read()
            location = answer.headers["Location"]
    return 202, b""


@pytest.mark.parametrize("way", [put_whole, put_streamed, patch_in_chunks])
async def test_a_blob_too_large_for_the_disk_is_refused_and_its_space_freed(
    server: Server, disk: Path, way: Way
) -> None:
    """24 MiB on 16: 507 in the protocol's form, the space back within a second, then small pushes and reads work."""
    client, data = Client.of(server), os.urandom(24 * MIB)
    old = client.push_blob("a/b", os.urandom(MIB))
    before = free_bytes(disk)
    async with client_of(server.url) as session:
        async with session.post("/v2/a/b/blobs/uploads/") as answer:
            location = answer.headers["Location"]
        assert is_full(*await way(session, location, data))
        refused_at = time.monotonic()
        while free_bytes(disk) < before - MIB // 2:  # what the log of the databases took stays theirs
            assert time.monotonic() - refused_at < 1, "the space of a refused upload is not freed"
            await asyncio.sleep(0.01)
        async with session.get(location) as answer:
            assert answer.status == 404
    client.push_image("a/b", "small")
    assert client.request("GET", f"/v2/a/b/blobs/{old}").status == 200
    assert digest_of(client.request("GET", f"/v2/a/b/blobs/{old}").body) == old


def test_a_full_disk_is_read_and_emptied(server: Server, disk: Path) -> None:
    """Without a byte free: pushes get 507, pulls work, deletes too, and pushes again as soon as there is room."""
    client = Client.of(server)
    digests = [client.push_image("a/b", f"t{number}", os.urandom(MIB)) for number in range(3)]
    layer = client.request("GET", "/v2/a/b/manifests/t0").json()["layers"][0]["digest"]
    stranger = fill(disk)
    refused = client.request("POST", "/v2/a/b/blobs/uploads/?digest=" + digest_of(bytes(MIB)), bytes(MIB))
    assert is_full(refused.status, refused.body)
    for number, digest in enumerate(digests):
        assert client.request("GET", f"/v2/a/b/manifests/t{number}").headers["docker-content-digest"] == digest
    assert client.request("GET", f"/v2/a/b/blobs/{layer}").status == 200
    assert eventually_accepted(client, "/v2/a/b/manifests/t1").status == 202
    assert eventually_accepted(client, f"/v2/a/b/manifests/{digests[0]}").status == 202
    assert eventually_accepted(client, f"/v2/a/b/blobs/{layer}").status == 202
    stranger.unlink()
    client.push_image("a/b", "again", os.urandom(MIB))


def eventually_accepted(client: Client, path: str, method: str = "DELETE", body: bytes | None = None) -> Answer:
    """Delete or restore; the first try may be the one that finds the disk full and gives up the ballast."""
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, path, body, headers)
    return client.request(method, path, body, headers) if answer.status == 507 else answer


def test_the_trash_of_a_full_disk(disk: Path) -> None:
    """Without a byte free it gives things back and lets them go for good; what went is room for pushes again."""
    config = {**CONFIG, "auth": "accounts", "lifecycle": {"trash": "1h", "grace": "1s", "watermark": {"low": 0}}}
    with Server(config, data=disk / "data", workers=1) as server:
        client, layers = Client.of(server), [os.urandom(size * MIB) for size in (1, 4, 1)]
        digests = [client.push_image("a/b", f"t{number}", layer) for number, layer in enumerate(layers)]
        for digest in digests[:2]:
            assert client.request("DELETE", f"/v2/a/b/manifests/{digest}").status == 202
        stranger = fill(disk)
        lying = {item["digest"]: item["id"] for item in client.request("GET", "/api/v2.0/trash").json()}
        restored = eventually_accepted(client, f"/api/v2.0/trash/{lying[digests[0]]}/restore", "POST", b"{}")
        assert (restored.status, restored.json()["tags"]) == (200, ["t0"])
        assert client.request("GET", f"/v2/a/b/blobs/{digest_of(layers[0])}").body == layers[0]
        gone = eventually_accepted(client, "/api/v2.0/trash")
        assert (gone.status, gone.json()) == (200, {"manifests": 1, "is_left": False})
        file = server.data / blob_data(Digest.parse(digest_of(layers[1])))
        eventually(lambda: not file.exists(), 30, "an end of the collection")
        eventually(lambda: client.request("POST", "/v2/a/b/blobs/uploads/").status == 202, 10, "room for pushes")
        client.push_image("a/b", "again", os.urandom(MIB // 2))
        for digest in (digests[0], digests[2]):
            assert client.request("GET", f"/v2/a/b/manifests/{digest}").status == 200
        stranger.unlink()
        server.run("doctor", "--data", str(server.data))


def test_refused_pushes_leave_no_files_behind(server: Server, disk: Path) -> None:
    """A hundred refused uploads on a full disk take no inode."""
    client = Client.of(server)
    client.push_image("a/b", "one")
    (disk / "stranger").write_bytes(bytes(free_bytes(disk)))
    for _ in range(3):  # the ballast goes, and what it leaves is taken as well
        client.request("POST", "/v2/a/b/blobs/uploads/")
        with (disk / "stranger").open("ab") as file:
            file.write(bytes(free_bytes(disk)))
    uploads = disk / "data" / "entrepot" / "uploads"  # elsewhere the job worker may be at work on the first push
    before = len(list(uploads.iterdir()))
    answers = [client.request("POST", "/v2/a/b/blobs/uploads/") for _ in range(100)]
    refused = [answer for answer in answers if is_full(answer.status, answer.body)]
    opened = [answer for answer in answers if answer.status == 202]
    assert refused
    assert len(refused) + len(opened) == 100
    assert len(list(uploads.iterdir())) - before == len(opened)


def test_a_disk_without_inodes_is_full(tmp_path: Path) -> None:
    """When no file or folder can be made any more: 507, pulls go on, and pushes again when some are free."""
    with (
        small_disk(tmp_path / "disk", "size=64m,nr_inodes=120") as disk,
        Server(CONFIG, data=disk / "data") as server,
    ):
        client = Client.of(server)
        digest = client.push_image("a/b", "one")
        spare = [disk / f"spare{number}" for number in range(10)]
        for file in spare:
            file.touch()
        refused = push_until_refused(client)
        assert is_full(refused.status, refused.body)
        assert client.request("GET", "/v2/a/b/manifests/one").headers["docker-content-digest"] == digest
        for file in spare:
            file.unlink()
        client.push_blob("a/b", b"there is room again")


def push_until_refused(client: Client) -> Answer:
    """Push small blobs until one is refused; returns the refusal."""
    for number in range(200):
        data = b"%d" % number
        answer = client.request("POST", f"/v2/a/b/blobs/uploads/?digest={digest_of(data)}", data)
        if answer.status != 201:
            return answer
    raise AssertionError("the disk never got full")


async def test_writers_fill_the_disk_and_nothing_acknowledged_is_lost(server: Server, disk: Path) -> None:
    """Four writers push until long after the disk is full: refusals are 507 alone, and what was accepted is there."""
    ledger, stop = Ledger(), asyncio.Event()
    async with client_of(server.url) as session:
        writers = [Writer(f"writer{number}", ledger, Random(number), session) for number in range(4)]
        running = asyncio.gather(*(writer.run(stop) for writer in writers))
        while len(ledger.refused) < 40:
            await asyncio.sleep(0.05)
            assert not running.done()
        stop.set()
        await running
        assert {refusal.partition(" answered ")[2][:3] for refusal in ledger.refused} == {"507"}
        # An upload that the full disk has ended is gone; what stays of the others need not fit.
        ledger.uploads.clear()
        assert await ledger.check(session) == []
    assert len(ledger.manifests) > 10


@pytest.mark.parametrize("mebibytes", [4, 24, 48])
def test_a_small_volume_is_enough(tmp_path: Path, mebibytes: int) -> None:
    """The space put aside for bad times follows the size of the disk, so that a small one can be used."""
    with (
        small_disk(tmp_path / "disk", f"size={mebibytes}m") as disk,
        Server(CONFIG, data=disk / "data", workers=1) as server,
    ):
        Client.of(server).push_image("a/b", "one", os.urandom(MIB))
        assert free_bytes(disk) > mebibytes * MIB / 5
