"""A registry whose PostgreSQL is out of reach, in whatever way: 503 in time, never 500, and whole again soon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.acknowledged import digest_of
from tests.support.chaos import Relay, Rules, chaos
from tests.support.database_fixtures import postgres
from tests.support.http_client import Answer, Client
from tests.support.postgres import PostgresServer
from tests.support.server import Server

__all__ = ["postgres"]

LARGE = b"0123456789abcdef" * (1 << 20)
#: What a request waits at most, with what it takes to say so on a busy machine.
LONGEST_SECONDS = 10.0
WHOLE_SECONDS = 5.0


@pytest.fixture(scope="module")
def relay(postgres: PostgresServer) -> Iterator[Relay]:
    """The way from the registry to its database."""
    with chaos(postgres.port) as running:
        yield running


@pytest.fixture(scope="module")
def server(postgres: PostgresServer, relay: Relay) -> Iterator[Server]:
    """A registry that reaches its database by the relay."""
    with postgres.database() as url:
        relayed = url.replace(f":{postgres.port}/", f":{relay.port}/")
        with Server(database=relayed, workers=2) as running:
            client = Client.of(running)
            client.push_image("team/app", "v1")
            client.push_blob("team/app", LARGE)
            yield running


def asked(server: Server, number: int) -> tuple[float, Answer]:
    """Pull, or push, and say how long that took."""
    client, began = Client.of(server), time.monotonic()
    if number % 3:
        answer = client.request("GET", "/v2/team/app/manifests/v1")
    else:
        answer = client.request("POST", "/v2/team/app/blobs/uploads/")
    return time.monotonic() - began, answer


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(Rules(silent=True), id="silent"),
        pytest.param(Rules(refuse=True), id="refused"),
        pytest.param(Rules(cut_after=1), id="cut off at the first byte", marks=pytest.mark.full),
        pytest.param(Rules(flip_at=3), id="changed", marks=pytest.mark.full),
    ],
)
def test_requests_without_a_database_are_told_to_come_again(server: Server, relay: Relay, harm: Rules) -> None:
    """Each gets 503 with Retry-After in time, a download that has begun goes on, and five seconds after all is well."""
    client = Client.of(server)
    download = client.open("GET", f"/v2/team/app/blobs/{digest_of(LARGE)}")
    pieces = iter(download.pieces())
    received = len(next(pieces))
    relay.rules = harm
    if not harm.silent:
        relay.cut_all()
    try:
        with ThreadPoolExecutor(24) as threads:
            answers = list(threads.map(lambda number: asked(server, number), range(24)))
        assert client.request("GET", "/healthz").status == 200
        assert client.request("GET", "/readyz").status == 503
        received += sum(map(len, pieces))
    finally:
        relay.rules = Rules()
    healed = time.monotonic()
    assert received == len(LARGE)
    assert {answer.status for _, answer in answers} <= {200, 202, 503}
    assert 503 in {answer.status for _, answer in answers}
    assert all(answer.headers["retry-after"] for _, answer in answers if answer.status == 503)
    assert max(seconds for seconds, _ in answers) < LONGEST_SECONDS
    while {asked(server, number)[1].status for number in range(6)} != {200, 202}:
        assert time.monotonic() - healed < WHOLE_SECONDS
    assert client.request("GET", "/readyz").status == 200
    assert "failed: " not in server.logs()  # how requests are told of whose errors nobody foresaw


def test_a_slow_line_to_the_database_fails_nothing(server: Server, relay: Relay) -> None:
    """With 200 ms more or less on the way to the database pulls and pushes take longer, and end well."""
    relay.rules = Rules(delay=0.1, jitter=0.05)
    try:
        assert asked(server, 1)[1].status == 200
        assert asked(server, 0)[1].status == 202
    finally:
        relay.rules = Rules()
