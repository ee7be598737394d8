"""Two registries in containers of their own share one folder behind HAProxy, and are one registry."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import aiohttp
import pytest

from tests.support import images
from tests.support.acknowledged import digest_of
from tests.support.lanes import Lane, lanes_of
from tests.support.replicas import haproxy, two_replicas
from tests.support.server import Server
from tests.support.tools import find_tool
from tests.support.writers import client_of

LANES = 8
FILLED = [f"team{number % 3}/app{number}" for number in range(9)]
REGISTRY2 = """\
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@dataclass
class Pair:
    """The two, the way to both, and how a client reaches each."""

    servers: tuple[Server, Server]
    url: str
    authorization: str = field(init=False)

    def __post_init__(self) -> None:
        self.authorization = self.servers[0].authorization

    def client(self, url: str) -> aiohttp.ClientSession:
        """Give a client that is the administrator."""
        return client_of(url, self.authorization)

    def put_requests(self) -> list[int]:
        """Count how many manifests each of the two was sent."""
        return [server.logs().count('"PUT /v2/lanes/') for server in self.servers]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Give two that were started at the same instant on a folder that did not exist."""
    environment = {"ENTREPOT_ADMIN_PASSWORD": None}
    with two_replicas(tmp_path / "data", env=environment) as servers, haproxy(tmp_path, servers) as url:
        yield Pair(servers, url)


async def test_started_at_once_they_have_one_password_and_one_set_of_keys(pair: Pair) -> None:
    """The first password is made once; the token that one gives out opens the other."""
    assert sum(server.logs().count("first password") for server in pair.servers) == 1
    asked = {"service": "entrepot", "scope": "repository:one/keys:pull,push"}
    for giver, taker in (pair.servers, reversed(pair.servers)):
        async with pair.client(giver.url) as session, session.get("/token", params=asked) as answer:
            token = (await answer.json())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with client_of(taker.url) as session, session.post("/v2/one/keys/blobs/uploads/", headers=headers) as met:
            assert met.status == 202, await met.text()


@pytest.mark.parametrize("moves", [2_000, pytest.param(10_000, marks=pytest.mark.full)])
async def test_each_read_sees_the_last_push_wherever_it_went(pair: Pair, moves: int) -> None:
    """Thousands of pushes go through HAProxy, to one or the other, and both show each of them from its 201 on."""
    lanes = lanes_of(LANES)
    first, second = pair.servers
    async with pair.client(pair.url) as writer, pair.client(first.url) as one, pair.client(second.url) as two:
        await asyncio.gather(*(lane.open(writer) for lane in lanes))
        await asyncio.gather(*(lane.run(writer, [one, two], moves // LANES) for lane in lanes))
    assert min(pair.put_requests()) > moves // 4, "HAProxy used one of them only"


async def test_either_may_be_killed(pair: Pair) -> None:
    """With -9 for one and then for the other, nothing acknowledged is lost, and the one that is left goes on."""
    lanes = lanes_of(LANES)
    async with pair.client(pair.url) as session:
        await asyncio.gather(*(lane.open(session) for lane in lanes))
        for victim, witness in (pair.servers, reversed(pair.servers)):
            running = [asyncio.ensure_future(lane.run_through_faults(session, 60)) for lane in lanes]
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in running), "all was over before the fault"
            await asyncio.to_thread(victim.kill)
            await asyncio.gather(*running)
            await assert_acknowledged(pair, witness, lanes)
            victim.start()  # in this thread: with the one that started it, it would end
            await assert_acknowledged(pair, victim, lanes)
    assert sum(lane.interrupted for lane in lanes) < 2 * 60 * LANES / 4, "the one that was left did not go on"


async def assert_acknowledged(pair: Pair, server: Server, lanes: list[Lane]) -> None:
    """Look at every tag through one of the two."""
    async with pair.client(server.url) as session:
        await asyncio.gather(*(lane.read(session) for lane in lanes))


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, str]:
    """Fill a folder by registry:2; gives the digest behind each name in it."""
    layout = tmp_path / "image"
    small, several = images.busybox(layout), images.multi_architecture(tmp_path / "multi")
    (tmp_path / "registry2.yml").write_text(REGISTRY2.format(data=tmp_path / "data", port=(port := free_port())))
    with ExitStack() as stack:
        program = [find_tool("docker-registry"), "serve", tmp_path / "registry2.yml"]
        process = stack.enter_context(subprocess.Popen(program, env={"OTEL_TRACES_EXPORTER": "none"}))
        stack.callback(process.terminate)
        copy = [find_tool("skopeo"), "copy", "--quiet", "--all", "--retry-times=5", "--dest-tls-verify=false"]
        for name in FILLED:
            for source, tag in ((layout, "small"), (tmp_path / "multi", "several")):
                target = f"docker://127.0.0.1:{port}/{name}:{tag}"
                subprocess.run([*copy, f"oci:{source}:latest", target], check=True)
    return dict(chain.from_iterable(((f"{name}/small", small), (f"{name}/several", several)) for name in FILLED))


def free_port() -> int:
    """Find a port of the loopback that nobody uses at the moment; registry:2 cannot be told to choose."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_a_filled_folder_is_adopted_once_and_served_by_both(filled: dict[str, str], tmp_path: Path) -> None:
    """Started at the same instant on what registry:2 left, both serve all of it at once; one of them adopts it."""
    with two_replicas(tmp_path / "data") as servers:
        for server in servers:
            async with client_of(server.url, servers[0].authorization) as session:
                await asyncio.gather(*(assert_served(session, name, digest) for name, digest in filled.items()))
                async with session.get("/v2/_catalog") as answer:
                    assert sorted((await answer.json())["repositories"]) == sorted(FILLED)
        assert await adoptions(servers) == 1


async def adoptions(servers: tuple[Server, ...]) -> int:
    """Count how often the folder was adopted, once it was and a second one has had its time."""
    deadline = time.monotonic() + 20
    while not (found := sum(server.logs().count("the folder is adopted") for server in servers)):
        assert time.monotonic() < deadline, [server.logs() for server in servers]
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)
    return max(found, sum(server.logs().count("the folder is adopted") for server in servers))


async def assert_served(session: aiohttp.ClientSession, name: str, digest: str) -> None:
    """Ask for a tag."""
    repository, _, tag = name.rpartition("/")
    url = f"/v2/{repository}/manifests/{tag}"
    async with session.get(url, headers={"Accept": "*/*"}) as answer:
        assert answer.status == 200, await answer.text()
        assert digest_of(await answer.read()) == digest
