"""The libraries that ours asks S3 with, without a registry around them: what a stream through it can be at most.

python -m benchmarks.alone in|out URL BUCKET KEY FILE

A file goes in as aiobotocore sends parts of 8 MiB, two at a time, each with the checksum that the library adds; it
comes out as obstore streams it, into nothing. Printed are the seconds, and those of the processors, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

import obstore
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from obstore.store import S3Store

from tests.support.seaweedfs import ACCESS_KEY, REGION, SECRET_KEY

_PART: Final = 8 << 20
_AT_ONCE: Final = 2


async def _in(url: str, bucket: str, key: str, content: BinaryIO, size: int) -> None:
    config = AioConfig(signature_version="s3v4", s3={"addressing_style": "path"})
    client = AioSession().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=config,
    )
    async with client as s3:
        place = {"Bucket": bucket, "Key": key}
        upload = await s3.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")
        place["UploadId"] = upload["UploadId"]
        room = asyncio.Semaphore(_AT_ONCE)

        async def send(number: int, piece: bytes) -> dict[str, Any]:
            try:
                sent = await s3.upload_part(**place, PartNumber=number, Body=piece, ChecksumAlgorithm="SHA256")
            finally:
                room.release()
            return {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": sent["ChecksumSHA256"]}

        parts = []
        for number in range(1, -(-size // _PART) + 1):
            await room.acquire()
            parts.append(asyncio.ensure_future(send(number, content.read(_PART))))
        await s3.complete_multipart_upload(**place, MultipartUpload={"Parts": await asyncio.gather(*parts)})


async def _out(url: str, bucket: str, key: str, _: BinaryIO, size: int) -> None:
    store = S3Store(
        bucket,
        endpoint=url,
        region=REGION,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        client_options={"allow_http": True},
    )
    async for piece in (await obstore.get_async(store, key)).stream():
        size -= len(piece)
    if size:
        raise RuntimeError(f"{size} bytes are missing")


if __name__ == "__main__":
    direction, url, bucket, key, file = sys.argv[1:]
    before, begun = os.times(), time.monotonic()
    with Path(file).open("rb") as content:
        asyncio.run({"in": _in, "out": _out}[direction](url, bucket, key, content, Path(file).stat().st_size))
    seconds, after = time.monotonic() - begun, os.times()
    print(json.dumps({"seconds": seconds, "cpu": after.user + after.system - before.user - before.system}), flush=True)
    os._exit(0)  # threads of obstore that outlive the interpreter abort the process now and then
