"""What a bucket of backups does that a folder need not: its lock outlives nobody for long, broken answers go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import pytest

from entrepot.adapters.backups import bucket
from entrepot.adapters.backups.bucket import BucketTarget
from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import CloudBusy, CloudRefused, Payload
from entrepot.backup.errors import TargetBusy, TargetFailed
from entrepot.metadata import clock
from tests.support.memory_cloud import MemoryCloud


@dataclass(slots=True)
class Cutting(MemoryCloud):
    """A bucket whose answers break off after so many bytes, and that refuses where it is told to."""

    cut: int = 0
    refuses: bool = False

    async def ask(self, operation: str) -> None:
        """Be asked."""
        self.asked.append(operation)
        if self.refuses:
            raise CloudRefused("AccessDenied")

    async def put(self, name: str, payload: Payload) -> str:
        """Store an object, in place of another."""
        self.objects.pop(name, None)
        return await MemoryCloud.put(self, name, payload)

    async def read(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        """Read some of an object, and break off."""
        left = self.cut or 1 << 30
        async for piece in MemoryCloud.read(self, name, start, length):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                raise CloudBusy("the connection broke")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cutting:
    """Give one that is quick about its lock."""
    monkeypatch.setattr(bucket, "_ELECTION", 0.02)
    return Cutting()


def opened(cloud: Cutting) -> BucketTarget:
    """Give one process on it."""
    return BucketTarget(cloud, "s3://bucket", Calls(pause=0.001))


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """Give bytes as a stream."""
    yield content


async def test_a_connection_that_breaks_is_made_again_where_it_broke(cloud: Cutting) -> None:
    """Every byte comes once; where none comes any more that is said."""
    content = bytes(range(256)) * 4000
    target = opened(cloud)
    await target.put("a", pieces(content))
    cloud.cut = 100_000
    assert b"".join([piece async for piece in target.get("a")]) == content
    cloud.objects["a"], size = b"", len(content)

    async def described(_name: str) -> int:
        return size

    target._described = described  # type: ignore[method-assign] - it says more than there is
    with pytest.raises(TargetFailed, match="ends early"):
        _ = [piece async for piece in target.get("a")]


async def test_of_two_at_the_same_moment_one_goes_on(cloud: Cutting) -> None:
    """The lock is theirs who wrote it last; the other is told."""

    async def work() -> bool:
        try:
            async with opened(cloud).alone():
                await asyncio.sleep(0.1)
        except TargetBusy:
            return False
        return True

    assert sorted(await asyncio.gather(work(), work())) == [False, True]
    assert await work()
    assert ".lock" not in cloud.objects


async def test_the_lock_of_a_dead_process_ends(cloud: Cutting, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a quarter of an hour without a sign of life; whoever lives renews it."""
    monkeypatch.setattr(bucket, "_RENEWAL", 0.05)
    async with opened(cloud).alone():
        before = json.loads(cloud.objects[".lock"])["at"]
        await asyncio.sleep(0.3)
        assert json.loads(cloud.objects[".lock"])["at"] > before
    for age, is_free in ((600.0, False), (1000.0, True)):
        cloud.objects[".lock"] = json.dumps({"who": "x", "at": clock.after(-age)}).encode()
        if is_free:
            async with opened(cloud).alone():
                pass
        else:
            with pytest.raises(TargetBusy, match="15 minutes after"):
                async with opened(cloud).alone():
                    pass


async def test_a_bucket_that_refuses_says_why(cloud: Cutting) -> None:
    """In the words of the store."""
    cloud.refuses = True
    with pytest.raises(TargetFailed, match=r"s3://bucket failed at a: AccessDenied"):
        await opened(cloud).put("a", pieces(b"x"))
