"""Two nodes on PostgreSQL count requests together by Valkey: as one would, and without it nobody is held up."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_client import Client, eventually
from tests.support.postgres import PostgresServer
from tests.support.server import Server
from tests.support.valkey import Valkey, running_valkey

LIMIT = 200
PATH = "/v2/team/app/tags/list"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Give a server that is stopped."""
    with running_valkey(tmp_path) as made:
        made.stop()
        yield made


@pytest.fixture
def nodes(postgres: PostgresServer, valkey: Valkey, tmp_path: Path) -> Iterator[list[Server]]:
    """Start two nodes while the server of their counts is away."""
    config = {"access": {"limits": {"principal": f"{LIMIT}/hour"}}, "redis": {"addr": valkey.address}}
    with postgres.database() as database:
        made = [Server(config, database=database, data=tmp_path / "data", workers=1, start=False) for _ in range(2)]
        try:
            yield [each.start() for each in made]
        finally:
            for each in made:
                each.close()


def exchanges(node: Server) -> Counter[str]:
    """Read from a node's metrics how its exchanges went."""
    text = Client(url=node.debug_url).request("GET", "/metrics").body.decode()
    found = re.findall(r'entrepot_redis_exchanges_total\{result="(\w+)"\} ([0-9.]+)', text)
    return Counter({result: int(float(number)) for result, number in found})


def test_two_nodes_let_through_what_one_would(nodes: list[Server], valkey: Valkey) -> None:
    """A hundred requests a second, from one node to the other and back: the limit is one for both.

    What nodes let through in the tenths of a second between two exchanges is on top; on a machine that does nothing
    else that is 5 %.
    """
    clients = [Client.of(node) for node in nodes]
    for client in clients:
        assert client.request("GET", PATH).status == 404, "served, though nobody adds up with the others"
    for node in nodes:
        eventually(lambda node=node: exchanges(node)["failed"] >= 1, what="it was asked")  # type: ignore[misc]
    valkey.start()
    for node in nodes:
        eventually(lambda node=node: exchanges(node)["ok"] >= 1, what="it answers")  # type: ignore[misc]
    seen, began = [2], time.monotonic()
    for number in range(2 * LIMIT):
        time.sleep(max(0.0, began + number / 100 - time.monotonic()))
        seen.append(int(clients[number % 2].request("GET", PATH).status != 429))
    assert LIMIT <= sum(seen) <= 1.25 * LIMIT
    valkey.stop()
    for client in clients:
        assert client.request("GET", PATH).status == 429, "the database knows what was counted"
