"""The object store stands still, or is killed: nobody waits long, nothing acknowledged is lost, all is well after."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.support.http_client import Answer, Client
from tests.support.object_stores import s3_values
from tests.support.seaweedfs import SeaweedFs, running_seaweedfs
from tests.support.server import Server

MIB = 1 << 20
#: Seconds: three of silence, five for an answer, and what a loaded machine takes.
LONGEST = 11.0
BACK = 5.0


@dataclass
class House:
    """A registry whose blobs pass through it, and what it acknowledged."""

    server: Server
    client: Client
    store: SeaweedFs
    known: dict[str, bytes] = field(default_factory=dict)

    def push(self, size: int) -> tuple[int, float, Answer]:
        """Push a blob by two requests; give the status, the seconds of the longest, and its answer."""
        data = os.urandom(size)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        opened, first = timed(lambda: self.client.request("POST", "/v2/team/app/blobs/uploads/"))
        if opened.status != 202:
            return opened.status, first, opened
        sign = "&" if "?" in opened.location else "?"
        put, second = timed(lambda: self.client.request("PUT", f"{opened.location}{sign}digest={digest}", data))
        if put.status == 201:
            self.known[digest] = data
        return put.status, max(first, second), put

    def pull(self, digest: str) -> tuple[int, float, Answer]:
        """Pull a blob."""
        answer, seconds = timed(lambda: self.client.request("GET", f"/v2/team/app/blobs/{digest}"))
        if answer.status == 200:
            assert answer.body == self.known[digest], "never other bytes"
        return answer.status, seconds, answer


def timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    """Do something and say how long it took."""
    begun = time.monotonic()
    return work(), time.monotonic() - begun


@pytest.fixture
def own_store() -> Iterator[SeaweedFs]:
    """Give a store that nobody else needs."""
    with running_seaweedfs() as store:
        yield store


@pytest.fixture
def house(own_store: SeaweedFs, tmp_path: Path) -> Iterator[House]:
    """Run a registry over it."""
    config = {
        "version": "0.1",
        "storage": {"s3": s3_values(own_store), "redirect": {"disable": True}},
        "metadata": {"folder": str(tmp_path / "state")},
    }
    with Server(text=yaml.safe_dump(config)) as server:
        yield House(server, Client.of(server), own_store)


def away(house: House, small: str, *, seconds: float) -> None:
    """Push and pull while the store is away: all are told to come again, within so many seconds."""
    with ThreadPoolExecutor(16) as pool:
        pushes = [pool.submit(house.push, size) for size in (12 * MIB, 12 * MIB, 400_000, 100) * 2]
        pulls = [pool.submit(house.pull, small) for _ in range(4)]
        ended = [one.result() for one in [*pushes, *pulls]]
    for status, took, answer in ended:
        assert status == 503, answer
        assert int(answer.headers["retry-after"]) > 0
        assert took < seconds
    assert house.client.request("GET", "/readyz").status == 200
    assert house.client.request("GET", "/v2/team/app/manifests/one").status == 200


def back(house: House, small: str) -> None:
    """Make sure that all workers push and pull again, and that everything acknowledged is there."""
    begun, in_a_row = time.monotonic(), 0
    while in_a_row < 8:  # connections of either worker
        in_a_row = in_a_row + 1 if {house.push(10_000)[0], house.pull(small)[0]} == {201, 200} else 0
        assert in_a_row or time.monotonic() < begun + BACK, "it is not whole again"
    for digest in house.known:
        assert house.pull(digest)[0] == 200
    assert house.push(12 * MIB)[0] == 201


def test_a_store_that_stands_still_keeps_nobody_long(house: House) -> None:
    """SIGSTOP under load: 503 in time, then at once; a download that has begun goes on when the store does."""
    house.client.push_image("team/app", "one")
    assert house.push(100_000)[0] == 201
    small = next(iter(house.known))
    data = random.Random(1).randbytes(48 * MIB)
    large = house.client.push_blob("team/app", data)
    download = house.client.open("GET", f"/v2/team/app/blobs/{large}").pieces()
    got = [next(iter(download))]
    house.store.process.send_signal(signal.SIGSTOP)
    try:
        away(house, small, seconds=LONGEST)
        away(house, small, seconds=2.0)
    finally:
        house.store.process.send_signal(signal.SIGCONT)
    got += download
    assert b"".join(got) == data
    back(house, small)


@pytest.mark.full
def test_a_store_that_is_killed_keeps_nobody_long(house: House) -> None:
    """kill -9 under load: 503 in time; a download that has begun breaks; whole again as soon as the store serves."""
    house.client.push_image("team/app", "one")
    assert house.push(100_000)[0] == 201
    small = next(iter(house.known))
    data = random.Random(1).randbytes(48 * MIB)
    large = house.client.push_blob("team/app", data)
    download = house.client.open("GET", f"/v2/team/app/blobs/{large}").pieces()
    got = [next(iter(download))]
    with ThreadPoolExecutor(8) as pool:
        pushes = [pool.submit(house.push, 12 * MIB) for _ in range(8)]
        time.sleep(0.3)
        house.store.process.kill()
        house.store.process.wait()
        ended = [one.result() for one in pushes]
    assert all(status in {201, 503} and took < LONGEST for status, took, _ in ended)
    away(house, small, seconds=LONGEST)
    with suppress(http.client.HTTPException, OSError):  # it broke, which its client sees
        got += download
    assert data.startswith(b"".join(got))
    house.store.start_again()
    back(house, small)
