"""R4: stored bytes are harmed in every way, and no GET ever ends cleanly with wrong ones."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrepot.oci.digest import Digest
from entrepot.registry.layout import blob_data
from tests.support.damage import flip_a_bit
from tests.support.http_client import Client
from tests.support.server import Server

NAME = "harmed/blobs"
#: A small one is answered from memory, the others are streamed in several pieces, or sent as files when whole.
SIZES = (1, 1_000, 64 * 1024, 64 * 1024 + 1, 300_000, 2 * 1024 * 1024)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry with two workers."""
    with Server({"auth": {"none": {}}}) as running:
        yield running


def _flip(file: Path, chance: random.Random) -> None:
    flip_a_bit(file, chance.randrange(file.stat().st_size))


def _cut(file: Path, chance: random.Random) -> None:
    os.truncate(file, chance.randrange(file.stat().st_size))


def _lengthen(file: Path, _chance: random.Random) -> None:
    with file.open("ab") as data:
        data.write(b"more")


def _remove(file: Path, _chance: random.Random) -> None:
    file.unlink()


def _empty(file: Path, _chance: random.Random) -> None:
    os.truncate(file, 0)


def _exchange(file: Path, _chance: random.Random) -> None:
    """Put another file in its place, as a repair of the file system may."""
    size = file.stat().st_size
    file.unlink()
    file.write_bytes(os.urandom(size))


HARMS: tuple[Callable[[Path, random.Random], None], ...] = (_flip, _cut, _lengthen, _remove, _empty, _exchange)


@pytest.mark.parametrize("trials", [60, pytest.param(1000, marks=pytest.mark.full)])
def test_no_get_ends_cleanly_with_wrong_bytes(server: Server, trials: int) -> None:
    """Whole or in parts, with either worker: the right bytes, an error, or a broken transfer; and a push heals."""
    client, chance = Client.of(server), random.Random(4)
    for trial in range(trials):
        harm, size = HARMS[trial % len(HARMS)], SIZES[trial // len(HARMS) % len(SIZES)]
        data = chance.randbytes(size)
        path = f"/v2/{NAME}/blobs/{client.push_blob(NAME, data)}"
        harm(server.data / blob_data(Digest.of(data)), chance)
        first = chance.randrange(size)
        ways = [(f"bytes={first}-", data[first:]), (None, data), ("bytes=0-", data)]
        chance.shuffle(ways)
        for wanted, right in ways:
            given = _get(client, path, wanted)
            assert given in (None, right), f"trial {trial}: {harm.__name__}, {size} bytes, {wanted}"
        client.push_blob(NAME, data)
        assert _get(client, path, None) == data, f"trial {trial}: {harm.__name__}, {size} bytes, pushed again"


def _get(client: Client, path: str, wanted: str | None) -> bytes | None:
    """Return what a client takes for the blob; None when it is told that there is none, or the transfer breaks."""
    answer = client.request("GET", path, headers={} if wanted is None else {"Range": wanted})
    if answer.status == 404 or len(answer.body) < int(answer.headers["content-length"]):
        return None
    assert answer.status in (200, 206), answer
    return answer.body
