"""R5, and R1 for the collector: pushes go on while a real server collects all the time, and its collector is killed.

The grace is a second, so the server looks every 100 ms for what is due (a tenth of the grace); there is no trash.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.support.acknowledged import OCI_MANIFEST, digest_of
from tests.support.http_client import Client, eventually
from tests.support.server import Server
from tests.support.sharing import Sharer, Shelf
from tests.support.writers import client_of, image_manifest

CONFIG = {
    "auth": {"none": {}},
    "log": {"accesslog": {"disabled": True}},
    "storage": {"delete": {"enabled": True}},
    "lifecycle": {"trash": "0s", "grace": "1s"},
}
PUSHERS = 16


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry that collects every 100 ms."""
    with Server(CONFIG) as running:
        yield running


def stored(server: Server) -> dict[str, int]:
    """List the files among the blobs by digest, with their sizes."""
    found = {}
    for path in (server.data / "docker/registry/v2/blobs").glob("*/*/*/data"):
        with suppress(FileNotFoundError):
            found[f"{path.parts[-4]}:{path.parts[-2]}"] = path.stat().st_size
    return found


async def share(server: Server, shelf: Shelf, seed: int, stop: asyncio.Event) -> None:
    """Let pushers push until they are stopped."""
    async with client_of(server.url) as session:
        names = [f"pusher{number}/app" for number in range(PUSHERS)]
        sharers = [Sharer(name, shelf, Random(f"{seed} {name}"), session) for name in names]
        await asyncio.gather(*(sharer.run(stop) for sharer in sharers))


async def push_under_collection(server: Server, pushes: int, seed: int) -> Shelf:
    """Push so many images, and look that all of it is right."""
    shelf, stop, before = Shelf.of(Random(seed)), asyncio.Event(), stored(server)
    running = asyncio.create_task(share(server, shelf, seed, stop))
    while shelf.counts["pushes"] < pushes and not running.done():
        await asyncio.sleep(0.05)
    stop.set()
    await running
    assert shelf.wrong == [], f"seed {seed}"
    async with client_of(server.url) as session:
        assert await shelf.check(session) == []
    assert shelf.counts["sent"] > 3 * len(shelf.layers), "nothing was collected that was pushed again"
    needed = before | shelf.files()
    await asyncio.to_thread(eventually, lambda: stored(server) == needed, 30, what="the model's files")
    print(dict(shelf.counts))
    server.run("doctor", "--data", str(server.data))
    return shelf


async def test_pushes_under_collection(server: Server) -> None:
    """No image that was acknowledged lacks anything, and in the end the disk holds what is kept and not a byte more."""
    await push_under_collection(server, 400, seed=5)


@pytest.mark.full
@pytest.mark.timeout(1800)
async def test_ten_thousand_pushes_under_collection(server: Server) -> None:
    """The same with 10,000 pushes."""
    await push_under_collection(server, 10_000, seed=6)


def test_a_layer_collected_before_its_manifest(server: Server) -> None:
    """Theirs is 201, and a broken image; ours 400 MANIFEST_BLOB_UNKNOWN, and whole once the layer is pushed again."""
    client, layer, config = Client.of(server), b"a layer that nobody needs yet", b"{}"
    digest = client.push_blob("early/layer", layer)
    assert [client.request("GET", f"/v2/early/layer/blobs/{digest}").status for _ in range(8)] == [200] * 8
    eventually(lambda: digest not in stored(server), what="the end of the layer")
    body = image_manifest((client.push_blob("early/layer", config), len(config)), [(digest, len(layer))])
    for _ in range(4):
        put = client.request("PUT", "/v2/early/layer/manifests/v1", body, {"Content-Type": OCI_MANIFEST})
        assert (put.status, put.json()["errors"][0]["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")
        assert client.request("HEAD", f"/v2/early/layer/blobs/{digest}").status == 404
    assert client.push_image("early/layer", "v1", layer)
    assert client.request("GET", f"/v2/early/layer/blobs/{digest}").body == layer


def test_a_layer_within_the_grace_is_not_collected(tmp_path: Path) -> None:
    """Theirs is gone by a collection at that moment; ours stays for its grace, and so does an upload that is open."""
    with Server({**CONFIG, "lifecycle": {"trash": "0s"}}, data=tmp_path / "data") as server:
        client, layer = Client.of(server), b"a layer whose manifest comes later"
        digest = client.push_blob("late/manifest", layer)
        upload = client.request("POST", "/v2/late/manifest/blobs/uploads/").location
        upload = client.request("PATCH", upload, layer).location
        server.run("gc", "--now", "--config", "config.yml")
        assert client.request("PUT", f"{upload}&digest={digest}").status == 201
        config = client.push_blob("late/manifest", b"{}")
        body = image_manifest((config, 2), [(digest, len(layer))])
        put = client.request("PUT", "/v2/late/manifest/manifests/v1", body, {"Content-Type": OCI_MANIFEST})
        assert (put.status, put.headers["docker-content-digest"]) == (201, digest_of(body))
        server.run("gc", "--now", "--config", "config.yml")
        assert client.request("GET", f"/v2/late/manifest/blobs/{digest}").body == layer


def kill_the_collector(server: Server) -> None:
    """Kill the process that collects, as soon as there is one again.

    A server whose web workers die again and again before they are ready gives up; whoever watches it starts it anew.
    """

    def kill() -> bool:
        if server.process is not None and server.process.poll() is not None:
            server.wait(10)
            server.start()
        server.job_worker().kill()
        return True

    eventually(kill, 90, what="a job worker")  # one that dies again and again is started after longer and longer pauses


def kill_everything(server: Server, random: Random) -> None:
    """Kill all processes, in no order, and start anew."""
    family = server.family()
    for process in random.sample(family, len(family)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.wait(10)
    psutil.wait_procs(family, timeout=10)
    server.start()


async def kill_while_collecting(server: Server, kills: int, seed: int) -> None:
    """Push and delete while the collector is killed so many times; nothing is lost, and nothing is left over."""
    random, shelf, stop = Random(seed), Shelf.of(Random(seed)), asyncio.Event()
    running = asyncio.create_task(share(server, shelf, seed, stop))
    for number in range(kills):
        await asyncio.sleep(random.uniform(0.5, 2))
        if number % 8 == 5:
            await asyncio.to_thread(kill_everything, server, random)
        else:
            await asyncio.to_thread(kill_the_collector, server)
    stop.set()
    await running
    assert shelf.wrong == [], f"seed {seed}"
    async with client_of(server.url) as session:
        assert await shelf.check(session) == []
    print(dict(shelf.counts))
    # Bytes whose push was cut off before its row was written are found by comparing store and metadata.
    await asyncio.to_thread(eventually, lambda: left_over(server, shelf) == set(), 60, what="an end of the collection")
    server.run("doctor", "--data", str(server.data))


def left_over(server: Server, shelf: Shelf) -> set[str]:
    """Collect, and list the files that neither a kept image nor one whose push was cut off, but happened, needs."""
    server.run("gc", "--now", "--config", "config.yml")
    client, needed = Client.of(server), set(shelf.files())
    for repository in client.request("GET", "/v2/_catalog").json()["repositories"]:
        for tag in client.request("GET", f"/v2/{repository}/tags/list").json()["tags"] or []:
            body = client.request("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": OCI_MANIFEST}).body
            needed |= Shelf([], {(repository, tag): body}).files().keys()
    print(f"{len(stored(server).keys() - needed)} left over")
    return stored(server).keys() - needed


async def test_the_collector_is_killed(server: Server) -> None:
    """Six kills at random moments."""
    await kill_while_collecting(server, 6, seed=7)


@pytest.mark.full
@pytest.mark.timeout(1800)
async def test_the_collector_is_killed_two_hundred_times(server: Server) -> None:
    """The same, 200 times."""
    begun = time.monotonic()
    await kill_while_collecting(server, 200, seed=8)
    print(f"{time.monotonic() - begun:.0f} s")
