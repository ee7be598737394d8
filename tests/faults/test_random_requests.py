"""R14: ten thousand odd requests, byte by byte, to a real registry: none of them is answered with a server error."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.http_client import Client
from tests.support.odd_requests import requests
from tests.support.raw_client import Encounter, encounter
from tests.support.server import Server

AT_ONCE = 100
SILENCE = 0.5
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_FAILED = re.compile(r'" 5\d\d \d|Traceback')


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry with an account, and an image."""
    with Server() as running:
        Client.of(running).push_image("a/b", "latest")
        yield running


def draw_requests(number: int, authorization: str) -> list[bytes]:
    """Let hypothesis write so many requests, the same each time."""
    drawn: list[bytes] = []

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(authorization=authorization))
    def collect(request: bytes) -> None:
        drawn.append(request)

    collect()
    return drawn


async def send_all(port: int, drawn: list[bytes]) -> list[Encounter]:
    """Send each on a connection of its own, and listen to it for a moment."""
    places = asyncio.Semaphore(AT_ONCE)

    async def send(request: bytes) -> Encounter:
        async with places:
            return await encounter(port, request, patience=SILENCE)

    return await asyncio.gather(*map(send, drawn))


def is_explained(request: bytes, result: Encounter) -> bool:
    """Say whether what the application refuses has a code and a message in the protocol's form."""
    if b"HEAD" in request[:8]:
        return True
    refused = [reply for reply in result.replies if reply.status >= 400 and "x-request-id" in reply.headers]
    return all(reply.code or "/token" in request[:60].decode("latin-1") for reply in refused)


async def no_server_error(server: Server, number: int) -> None:
    """Send, then look at every answer and at the log."""
    drawn = draw_requests(number, server.authorization)
    results = await send_all(server.port, drawn)
    answers: dict[int, int] = {}
    for request, result in zip(drawn, results, strict=True):
        for status in map(int, _STATUS.findall(result.received)):
            answers[status] = answers.get(status, 0) + 1
            assert status < 500, (request, result.received)
        assert is_explained(request, result), (request, result.received)
    print(f"{len(drawn)} requests: {sorted(answers.items())}")
    assert len(drawn) >= number * 0.9
    assert {200, 202, 400, 401, 404} <= answers.keys(), "the requests are too odd to reach anything"
    assert not _FAILED.search(server.logs())
    assert Client.of(server).request("GET", "/v2/").status == 200


async def test_odd_requests_never_break_the_registry(server: Server) -> None:
    """10,000 of them get answers below 500, or none when they are no requests."""
    await no_server_error(server, 10_000)
