"""Limits over nodes by Valkey: right, and no worse than the database when it is empty, gone or lying."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from entrepot.access.limits.counts import DatabaseCounts
from entrepot.access.limits.rates import Kind, Rates
from entrepot.adapters.shared.redis_client import open_redis
from entrepot.adapters.shared.redis_counts import RedisCounts
from entrepot.config.schema.redis import Redis
from entrepot.metadata.database import Database
from entrepot.metadata.work_tables import work_metadata
from tests.support.certificates import authority, identity
from tests.support.databases import create_all, sqlite_database
from tests.support.ports import free_port
from tests.support.valkey import Valkey, running_valkey

WHO = "192.0.2.1"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Give a server."""
    with running_valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def work(tmp_path: Path) -> AsyncIterator[Database]:
    """Give the database that the nodes share beside it."""
    async with sqlite_database(tmp_path) as database:
        await create_all(database, work_metadata)
        yield database


class Nodes:
    """Some workers, each with its own connection."""

    def __init__(self, work: Database, number: int, limit: str, **keys: object) -> None:
        self.now = 1_700_000_040.0  # a minute begins
        self.outcomes: Counter[str] = Counter()
        section = Redis.model_validate(keys)
        self.counts = [
            RedisCounts(
                open_redis(section), DatabaseCounts(work), count=lambda outcome: self.outcomes.update([outcome])
            )
            for _ in range(number)
        ]
        self.rates = [Rates({"address": limit}, each, now=lambda: self.now) for each in self.counts]

    async def ask(self, node: int, times: int = 1) -> int:
        """Ask so many times, and say how many were let through."""
        standings = [await self.rates[node].count(Kind.ADDRESS, WHO) for _ in range(times)]
        return sum(1 for standing in standings if standing and not standing.exceeded)

    async def share(self) -> None:
        """Let each exchange, twice, so that the first knows of the last."""
        for each in (*self.rates, *self.rates):
            await each.share()

    def rest_no_more(self) -> None:
        """Let the time pass for which nobody asks a server that failed."""
        for each in self.counts:
            each._rests_until = each._instead_at = 0.0

    async def close(self) -> None:
        """End all connections."""
        for each in self.counts:
            with suppress(Exception):
                await each.close()


async def test_four_nodes_let_through_what_one_would(work: Database, valkey: Valkey) -> None:
    """400 requests a second over four nodes, 600 a minute allowed: 600 to within 10 % are let through."""
    nodes = Nodes(work, 4, "600/minute", addr=valkey.address)
    let_through = 0
    for _ in range(20):  # tenths of a second, ten requests to each node
        for node in range(4):
            let_through += await nodes.ask(node, 10)
        for each in nodes.rates:
            await each.share()
    assert 600 <= let_through <= 660
    assert nodes.outcomes["failed"] == 0
    nodes.now += 61
    assert await nodes.ask(0) == 1
    await nodes.close()


async def test_an_emptied_server_is_told_all_again(work: Database, valkey: Valkey) -> None:
    """Flushed at every turn, the server never makes anybody forget what was counted."""
    nodes = Nodes(work, 3, "50/minute", addr=valkey.address)
    client = open_redis(Redis(addr=valkey.address))
    for node in (0, 1, 2):
        assert await nodes.ask(node, 10) == 10
        await nodes.share()
        await client.flushall()
        await nodes.share()
    assert await nodes.ask(0, 30) == 20
    await client.aclose()
    await nodes.close()


async def test_while_it_is_away_the_database_adds_up(work: Database, valkey: Valkey) -> None:
    """Stopped in the middle of a span: the nodes go on by the database, with all that was counted before; and back."""
    nodes = Nodes(work, 2, "50/minute", addr=valkey.address)
    assert await nodes.ask(0, 10) == 10
    await nodes.share()
    valkey.stop()
    assert await nodes.ask(1, 10) == 10
    await nodes.share()
    assert nodes.outcomes["failed"] == 2, "each asked once, and not again for five seconds"
    for each in nodes.counts:
        each._instead_at = 0.0
    await nodes.share()
    assert await nodes.ask(0, 60) == 30
    valkey.start()
    nodes.rest_no_more()
    await nodes.share()
    assert await nodes.ask(1, 60) == 0
    await nodes.close()


async def test_a_registry_starts_without_it_and_a_black_hole_holds_nobody_up(work: Database) -> None:
    """Nobody listens, or somebody who says nothing: requests cost nothing more; it is asked once in five seconds."""
    silent = socket.create_server(("127.0.0.1", 0))  # connections are taken by the kernel, and nobody ever answers
    for minute, port in enumerate((silent.getsockname()[1], free_port())):
        address = f"127.0.0.1:{port}"
        nodes = Nodes(work, 1, "50/minute", addr=address)
        nodes.now += 60 * minute
        runs = asyncio.ensure_future(nodes.rates[0].run())
        began, slowest, let_through = time.monotonic(), 0.0, 0
        while time.monotonic() < began + 2:
            asked = time.perf_counter()
            let_through += await nodes.ask(0)
            slowest = max(slowest, time.perf_counter() - asked) if let_through > 1 else 0.0
            await asyncio.sleep(0.01)
        runs.cancel()
        await asyncio.gather(runs, return_exceptions=True)
        assert let_through == 50
        assert slowest < 0.05
        assert nodes.outcomes == {"failed": 1}
        await nodes.close()
    silent.close()


@pytest.mark.parametrize(
    "nonsense",
    [b"+OK\r\n", b":7\r\n", b"*2\r\n$1\r\nx\r\n:-5\r\n", b"*2\r\n:1\r\n:1\r\n", b"-ERR no\r\n", b"\0\0\0\0\r\n", b""],
)
async def test_nonsense_counts_for_nothing(work: Database, nonsense: bytes) -> None:
    """Whatever the server says that is no answer to what was asked, the database is believed."""

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(65536):
                writer.write(nonsense)
                await writer.drain()
                if not nonsense:
                    break
        writer.close()

    liar = await asyncio.start_server(lie, "127.0.0.1", 0)
    nodes = Nodes(work, 2, "50/minute", addr=f"127.0.0.1:{liar.sockets[0].getsockname()[1]}")
    assert await nodes.ask(0, 29) == 29
    assert await nodes.ask(1) == 1
    await nodes.share()
    for each in nodes.counts:
        each._instead_at = 0.0
    await nodes.share()
    assert await nodes.ask(1, 40) == 20
    assert nodes.outcomes["ok"] == 0
    await nodes.close()
    liar.close()


async def test_requests_ask_it_nothing(work: Database, valkey: Valkey) -> None:
    """A request counts in memory: the server gets one command an exchange, however many requests there were."""
    nodes = Nodes(work, 1, "5000/minute", addr=valkey.address)
    await nodes.share()
    client = open_redis(Redis(addr=valkey.address))

    async def commands() -> int:
        return sum(each["calls"] for name, each in (await client.info("commandstats")).items() if "eval" in name)

    assert await nodes.ask(0, 1000) == 1000
    assert await commands() == 0
    await nodes.rates[0].share()
    assert await commands() == 1
    await client.aclose()
    await nodes.close()


async def test_no_address_and_no_name_lies_there(work: Database, valkey: Valkey) -> None:
    """Who asked is not to be read out of the server, and what is there goes with its span."""
    nodes = Nodes(work, 1, "50/minute", addr=valkey.address)
    await nodes.ask(0)
    await nodes.share()
    client = open_redis(Redis(addr=valkey.address))
    (key,) = await client.keys("*")
    assert WHO.encode() not in key
    assert 0 < await client.ttl(key) <= 61
    await client.aclose()
    await nodes.close()


async def _shares(work: Database, **keys: object) -> None:
    """Show that two nodes add up by whatever the section names."""
    nodes = Nodes(work, 2, "50/minute", **keys)
    assert await nodes.ask(0, 29) == 29
    assert await nodes.ask(1) == 1
    await nodes.share()
    assert await nodes.ask(1, 40) == 20
    assert nodes.outcomes["failed"] == 0
    await nodes.close()


async def test_a_cluster(work: Database, tmp_path: Path) -> None:
    """Several `addrs` are a cluster; all that one exchange touches is in one slot."""
    with running_valkey(tmp_path, "--cluster-enabled", "yes") as server:
        client = open_redis(Redis(addr=server.address))
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        for _ in range(100):
            if b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO"):
                break
            await asyncio.sleep(0.05)
        await client.aclose()
        await _shares(work, addrs=[server.address, server.address])


async def test_sentinels(work: Database, valkey: Valkey, tmp_path: Path) -> None:
    """With `mastername` the servers are sentinels, which say where the master is."""
    folder = tmp_path / "sentinel"
    folder.mkdir()
    file = folder / "sentinel.conf"
    file.write_text(f"sentinel monitor entrepot 127.0.0.1 {valkey.port} 1\n")
    with running_valkey(folder, first=(str(file), "--sentinel")) as sentinel:
        await _shares(work, addrs=[sentinel.address], mastername="entrepot")


async def test_tls_and_a_password(work: Database, tmp_path: Path) -> None:
    """The server's certificate is checked against `rootcas`; a wrong password is a server that does not serve."""
    signer, certificate, key, ca = authority(), *(tmp_path / name for name in ("server.pem", "server.key", "ca.pem"))
    identity(signed_by=signer).write(certificate, key)
    signer.write(ca, tmp_path / "ca.key")
    arguments = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    port = free_port()
    with running_valkey(tmp_path, *arguments, "--tls-port", str(port), "--requirepass", "s3cret"):
        keys = {"addr": f"127.0.0.1:{port}", "tls": {"rootcas": [str(ca)]}}
        await _shares(work, password="s3cret", **keys)
        unknown = {"addr": keys["addr"], "password": "s3cret", "tls": {"enabled": True}}
        for wrong in ({"password": "wrong", **keys}, unknown):
            nodes = Nodes(work, 1, "50/minute", **wrong)
            await nodes.ask(0)
            await nodes.share()
            assert nodes.outcomes == {"failed": 1}
            await nodes.close()
