"""R14: requests that two programs may read differently, sent to the registry itself and through proxies.

Whatever the server makes of such a request, it does not answer what is hidden in it, unless the rules make that a
second request in plain sight; and behind a proxy nobody else gets the answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.http_client import Client
from tests.support.proxies import haproxy, nginx
from tests.support.raw_client import Encounter, Reply, encounter
from tests.support.server import Server
from tests.support.smuggling import CORPUS, PIPELINED, with_own_path

Front = Callable[[Path, int], AbstractContextManager[int]]
_FAILED = re.compile(r'^\S+ \S+ \S+ \[.*?\] ".*" 5\d\d ', re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry with one worker, so that everybody's requests meet; its access log tells what it understood."""
    with Server({"auth": {"none": {}}}, workers=1) as running:
        yield running


async def send_corpus(port: int) -> dict[str, tuple[str, Encounter]]:
    """Send every odd request on a connection of its own, all at once; gives the hidden path and what came back."""
    requests = {name: with_own_path(request, number) for number, (name, request) in enumerate(CORPUS.items())}
    results = await asyncio.gather(*(encounter(port, request, patience=2) for _, request in requests.values()))
    return {name: (path, result) for (name, (path, _)), result in zip(requests.items(), results, strict=True)}


def is_ours(reply: Reply) -> bool:
    """Say whether an answer is the application's, not a proxy's or the server's own."""
    return "x-request-id" in reply.headers


async def test_nothing_hidden_is_answered(server: Server) -> None:
    """Of each odd request at most the visible part is answered, never with a server error; most end the connection."""
    mark = len(server.logs())
    for name, (path, result) in (await send_corpus(server.port)).items():
        replies = result.replies
        assert all(reply.status < 500 for reply in replies), name
        assert replies, name
        if name not in PIPELINED:
            assert len(replies) == 1, name
            assert path not in server.logs()[mark:], name
        for reply in replies:
            assert not is_ours(reply) or reply.status < 400 or reply.code, name


@pytest.mark.parametrize("front", [nginx, haproxy])
async def test_nobody_gets_anothers_answer_behind_a_proxy(server: Server, front: Front, tmp_path: Path) -> None:
    """Behind nginx and HAProxy, with connections shared: what we answered is what its sender got, and others go on."""
    client = Client.of(server)
    digests = {f"t{number}": client.push_image("victim/r", f"t{number}", b"%d" % number) for number in range(4)}
    mark = len(server.logs())
    with front(tmp_path, server.port) as port:
        odd = asyncio.ensure_future(send_corpus(port))
        while not odd.done():
            await asyncio.gather(*(pull(port, tag, digest) for tag, digest in digests.items()))
        for name, (path, result) in odd.result().items():
            understood = server.logs()[mark:].count(path)
            assert understood <= max(0, len(result.replies) - 1), name
    assert not _FAILED.search(server.logs()[mark:])


async def pull(port: int, tag: str, digest: str) -> None:
    """Pull somebody's manifest, as an innocent client."""
    head = f"HEAD /v2/victim/r/manifests/{tag} HTTP/1.1\r\nHost: registry.test\r\nConnection: close\r\n\r\n"
    result = await encounter(port, head.encode(), patience=5)
    first, *others = result.received.split(b"HTTP/1.1 ")[1:]
    assert others == []
    assert first.startswith(b"200 ")
    assert f"docker-content-digest: {digest}".encode() in first.lower()
