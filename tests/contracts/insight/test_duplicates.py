"""Layers that are nearly the same are found, with about how much of them is in both."""

from __future__ import annotations

import gzip
import random
from dataclasses import replace
from unittest.mock import ANY

from entrepot.insight.duplicates import zstd as unpacking
from entrepot.insight.duplicates.layer_scan import LEAST_BYTES, Looking, least_bytes
from entrepot.insight.duplicates.similarity import Estimate, Likeness, last_estimate
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.telemetry.progress import Unwatched
from tests.contracts.insight.conftest import World
from tests.contracts.registry.pushing import ALICE
from tests.support.manifests import digest_of

MIB = 1024 * 1024
zstd = unpacking._library()


async def look(world: World) -> tuple[int, Estimate]:
    """Look into what is new and compare; return how many layers were looked into."""

    async def took(_size: int) -> None:
        pass

    metadata = world.kit.metadata
    looking = Looking(metadata=metadata, store=world.kit.store, progress=Unwatched(), took=took)
    looked_at = await looking.run(await least_bytes(metadata))
    return looked_at, await Likeness(metadata, Unwatched()).run(await least_bytes(metadata))


def layer(size: int, seed: int, *, changed: bool = False) -> bytes:
    """Pack bytes that do not repeat, some of them other ones in the middle."""
    data = random.Random(seed).randbytes(size)
    middle = b"another file" * 1000 if changed else b""
    return gzip.compress(data[: size // 2] + middle + data[size // 2 :], compresslevel=1, mtime=0)


async def test_nearly_the_same_are_found(world: World) -> None:
    """An image that was built again is almost all duplicate; others, small layers and what cannot be read are none."""
    pusher = world.pusher()
    first, again, other = layer(MIB, 1), layer(MIB, 1, changed=True), layer(MIB, 2)
    broken = b"\x1f\x8b\x08\x00" + bytes(LEAST_BYTES)
    await pusher.image("1", first, other, b"small")
    await pusher.image("2", again, broken)
    looked_at, found = await look(world)
    assert looked_at == 4
    assert (found.layers, found.layer_bytes) == (3, len(first) + len(again) + len(other))
    assert found.not_looked_into == {"broken": 1}
    (pair,) = found.pairs
    assert (pair.digest, pair.like) == (digest_of(again), digest_of(first))
    assert 0.8 <= pair.share <= 1
    assert found.duplicate_bytes == pair.duplicate_bytes >= 0.8 * len(again)
    assert await last_estimate(world.kit.metadata) == found


async def test_how_a_layer_is_packed_makes_no_difference(world: World) -> None:
    """The same files in gzip and in zstd are duplicates; what could not be opened once is looked into again."""
    data = random.Random(1).randbytes(MIB // 2)
    packed = gzip.compress(data, compresslevel=1, mtime=0), zstd.compress(data)
    await world.pusher().image("1", *packed)
    looked_at, found = await look(world)
    assert (looked_at, found.layers, found.not_looked_into) == (2, 2, {})
    assert found.duplicate_bytes == len(packed[1])
    forget = RawQuery("UPDATE layer_sketches SET outcome = 'unknown compression' WHERE blob_id = 2")
    await world.kit.metadata.write(lambda tx: tx.execute(forget))
    assert await look(world) == (1, replace(found, finished_at=ANY))


async def test_only_what_is_new_is_read(world: World) -> None:
    """A second look reads nothing; a new layer is compared with the old ones, and a deleted one is forgotten."""
    pusher = world.pusher()
    assert await last_estimate(world.kit.metadata) is None
    body = await pusher.image("1", layer(MIB, 1))
    assert (await look(world))[0] == 1
    assert (await look(world))[0] == 0
    await pusher.image("2", layer(MIB, 1, changed=True))
    looked_at, found = await look(world)
    assert (looked_at, len(found.pairs)) == (1, 1)
    await world.registry.manifests.delete(pusher.name, Digest.of(body), actor=ALICE)
    await world.finish()
    looked_at, found = await look(world)
    assert (looked_at, found.layers, found.pairs) == (0, 1, [])
    assert await world.kit.metadata.all(RawQuery("SELECT count(*) FROM layer_sketches")) == [(1,)]
