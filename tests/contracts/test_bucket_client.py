"""What S3 is asked for the taking over of a bucket: folders are listed, objects copied within the store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator

import pytest

from entrepot.adapters.blobs.objects import s3
from entrepot.adapters.blobs.objects.cloud import NoObject, Payload
from entrepot.adapters.blobs.objects.s3 import S3Bucket
from entrepot.adapters.blobs.objects.s3_settings import S3Settings
from tests.support.object_stores import s3_section
from tests.support.seaweedfs import SeaweedFs

MIB = 1 << 20


@pytest.fixture
async def bucket(seaweedfs: SeaweedFs) -> AsyncIterator[S3Bucket]:
    """Give an empty one."""
    made = await S3Bucket.open(S3Settings.of(s3_section(seaweedfs)))
    yield made
    await made.close()


async def put(bucket: S3Bucket, name: str, content: bytes) -> None:
    """Store an object."""
    await bucket.put(name, Payload(data=content, sha256=hashlib.sha256(content).digest()))


async def test_folders_are_listed_once_each(bucket: S3Bucket) -> None:
    """What lies deeper, and objects of the folder itself, are none."""
    for name in ("a/b/one", "a/b/two", "a/c/d/three", "a/four", "other/x/y"):
        await put(bucket, name, b"x")
    assert [name async for name in bucket.folders("a/")] == ["b", "c"]
    assert [name async for name in bucket.folders("nothing/")] == []


@pytest.mark.parametrize("size", [0, 1000, 12 * MIB])
async def test_an_object_is_copied_within_the_store(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A large one in parts, over an older one of the name; of nothing there is no copy, and no upload is left."""
    monkeypatch.setattr(s3, "_MOST_COPIED", MIB)
    monkeypatch.setattr(s3, "_COPIED_PART", 5 * MIB)
    content = os.urandom(size)
    await put(bucket, "source", content)
    await put(bucket, "target", b"older")
    await bucket.copy("source", "target", size)
    assert b"".join([piece async for piece in bucket.read("target", 0, None)]) == content
    for large in (1, 12 * MIB):
        with pytest.raises(NoObject):
            await bucket.copy("nothing", "else", large)
    assert [each async for each in bucket.list_multiparts("")] == []
