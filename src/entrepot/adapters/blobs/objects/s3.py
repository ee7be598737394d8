"""S3, by Amazon and by others who speak its protocol.

What is written, described, listed and removed goes through `aiobotocore`, whose uploads in parts any node can go on
with; what is read goes through `obstore`, which costs a third of the processor time for small blobs.
"""

from __future__ import annotations

import base64
import datetime as dt
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import obstore
from botocore.exceptions import ClientError
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from entrepot.adapters.blobs.objects.cloud import (
    CloudBusy,
    CloudRefused,
    Described,
    Limits,
    Multipart,
    NoMultipart,
    NoObject,
    Part,
    Payload,
)
from entrepot.adapters.blobs.objects.s3_client import Body, S3Client, open_client
from entrepot.adapters.blobs.objects.s3_errors import EXPIRED, NO_BUCKET, SKEWED, code_of, fact, translated
from entrepot.adapters.blobs.objects.s3_settings import S3Settings

T = TypeVar("T")

_log = logging.getLogger(__name__)

_TYPE: Final = "application/octet-stream"
_FOR_EVER: Final = "max-age=31536000, immutable"
_SMALLEST_PART: Final = 5 << 20
_PIECE: Final = 256 << 10
_DELETES: Final = 1000
#: Bytes that one request copies at most, and that it copies of a larger object.
_MOST_COPIED: Final = 5 << 30
_COPIED_PART: Final = 1 << 30


class S3Bucket:
    """One bucket, below a root."""

    def __init__(self, settings: S3Settings, client: S3Client) -> None:
        """Ask nothing yet."""
        self.settings = settings
        self._c = client
        self._bucket, self._root = settings.bucket, settings.root
        self._deletes = _DELETES
        self.limits = Limits(smallest_part=_SMALLEST_PART, first_part=settings.first_part)

    @classmethod
    async def open(cls, settings: S3Settings) -> S3Bucket:
        """Make the client of a bucket.

        Raises:
            CloudError: Nobody says who this registry is to the store, or whoever should does not answer.
        """
        with translated():
            return cls(settings, await open_client(settings))

    async def close(self) -> None:
        """End all connections."""
        await self._c.close()

    async def check(self) -> None:
        """Make sure that the bucket is there."""
        try:
            await self._ask(self._c.client.head_bucket(Bucket=self._bucket))
        except NoObject:
            raise CloudRefused(NO_BUCKET) from None

    async def put(self, name: str, payload: Payload) -> str:
        """Store an object in one request."""
        with Body(payload) as body:
            answer = await self._ask(
                self._c.client.put_object(
                    **self._place(name),
                    Body=body,
                    ContentType=_TYPE,
                    ChecksumSHA256=_base64(payload.sha256),
                    **self.settings.object_headers,
                )
            )
        return _etag(answer)

    async def begin(self, name: str) -> str:
        """Begin an upload in parts."""
        answer = await self._ask(
            self._c.client.create_multipart_upload(
                **self._place(name), ContentType=_TYPE, ChecksumAlgorithm="SHA256", **self.settings.object_headers
            )
        )
        return str(answer["UploadId"])

    async def put_part(self, name: str, upload: str, number: int, offset: int, payload: Payload) -> str:
        """Store a part; its mark is its ETag and its checksum, which the last request names again."""
        del offset
        checksum = _base64(payload.sha256)
        with Body(payload) as body:
            answer = await self._ask(
                self._c.client.upload_part(
                    **self._place(name), UploadId=upload, PartNumber=number, Body=body, ChecksumSHA256=checksum
                )
            )
        return f"{_etag(answer)} {checksum}"

    async def complete(self, name: str, upload: str, parts: Sequence[Part]) -> str:
        """Make an object of the parts."""
        marks = [part.mark.split(" ") for part in parts]
        listed = [
            {"PartNumber": number, "ETag": f'"{etag}"', "ChecksumSHA256": checksum}
            for number, (etag, checksum) in enumerate(marks, 1)
        ]
        answer = await self._ask(
            self._c.client.complete_multipart_upload(
                **self._place(name), UploadId=upload, MultipartUpload={"Parts": listed}
            )
        )
        return _etag(answer)

    async def abort(self, name: str, upload: str) -> None:
        """Drop an upload in parts."""
        try:
            await self._ask(self._c.client.abort_multipart_upload(**self._place(name), UploadId=upload))
        except (NoMultipart, NoObject):
            return

    async def presign(self, name: str, seconds: int) -> str:
        """Return a URL of an object."""
        answers = {"ResponseContentType": _TYPE, "ResponseCacheControl": _FOR_EVER}
        with translated():
            return str(
                await self._c.signer.generate_presigned_url(
                    "get_object", {**self._place(name), **answers}, ExpiresIn=seconds
                )
            )

    async def describe(self, name: str) -> Described:
        """Describe an object."""
        answer = await self._ask(self._c.client.head_object(**self._place(name)))
        placed_at = _microseconds(answer["LastModified"])
        return Described(name=name, size=int(answer["ContentLength"]), etag=_etag(answer), placed_at=placed_at)

    async def read(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        """Read an object."""
        if not self._c.is_skewed:
            try:
                async with aclosing(self._read_fast(name, start, length)) as pieces:
                    async for piece in pieces:
                        yield piece
            except (PermissionDeniedError, UnauthenticatedError):
                _log.debug("the other client says why, and what can be done")
            else:
                return
        async with aclosing(self._read_slowly(name, start, length)) as pieces:
            async for piece in pieces:
                yield piece

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects, fewer at a time for a while where that is too much."""
        if len(names) > self._deletes:
            for begin in range(0, len(names), self._deletes):
                await self.delete(names[begin : begin + self._deletes])
            return
        if len(names) == 1:
            await self._ask(self._c.client.delete_object(**self._place(names[0])))
            return
        try:
            answer = await self._ask(
                self._c.client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._root + name} for name in names], "Quiet": True},
                )
            )
        except CloudBusy as error:
            if error.slow_down:
                self._deletes = max(self._deletes // 2, 10)
            raise
        self._deletes = min(self._deletes * 2, _DELETES)
        for failed in answer.get("Errors", ()):
            code = str(failed.get("Code", ""))
            if code not in {"NoSuchKey", "404"}:
                raise fact(ClientError({"Error": failed}, "DeleteObjects"))

    @property
    def deletes_at_once(self) -> int:
        """Say how many objects one `delete` takes."""
        return _DELETES

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Described]:
        """Walk objects."""
        more = {"StartAfter": self._root + after} if after else {}
        while True:
            answer = await self._ask(
                self._c.client.list_objects_v2(Bucket=self._bucket, Prefix=self._root + prefix, **more)
            )
            for found in answer.get("Contents", ()):
                name = str(found["Key"]).removeprefix(self._root)
                yield Described(
                    name=name,
                    size=int(found["Size"]),
                    etag=str(found["ETag"]).strip('"'),
                    placed_at=_microseconds(found["LastModified"]),
                )
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def folders(self, prefix: str) -> AsyncIterator[str]:
        """Walk what comes behind a prefix, up to the next slash."""
        more: dict[str, str] = {}
        while True:
            answer = await self._ask(
                self._c.client.list_objects_v2(Bucket=self._bucket, Prefix=self._root + prefix, Delimiter="/", **more)
            )
            for found in answer.get("CommonPrefixes", ()):
                yield str(found["Prefix"]).removeprefix(self._root + prefix).rstrip("/")
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def copy(self, source: str, target: str, size: int) -> None:
        """Copy an object within the store, a large one in parts."""
        origin = {"Bucket": self._bucket, "Key": self._root + source}
        if size <= _MOST_COPIED:
            await self._ask(
                self._c.client.copy_object(
                    **self._place(target),
                    CopySource=origin,
                    MetadataDirective="REPLACE",
                    ContentType=_TYPE,
                    **self.settings.object_headers,
                )
            )
            return
        upload = await self.begin(target)
        try:
            parts = [
                await self._copy_part(origin, target, upload, number, start, min(start + _COPIED_PART, size))
                for number, start in enumerate(range(0, size, _COPIED_PART), 1)
            ]
            await self._ask(
                self._c.client.complete_multipart_upload(
                    **self._place(target), UploadId=upload, MultipartUpload={"Parts": parts}
                )
            )
        except BaseException:
            await self.abort(target, upload)
            raise

    async def _copy_part(
        self, origin: dict[str, str], target: str, upload: str, number: int, start: int, end: int
    ) -> dict[str, Any]:
        answer = await self._ask(
            self._c.client.upload_part_copy(
                **self._place(target),
                CopySource=origin,
                CopySourceRange=f"bytes={start}-{end - 1}",
                UploadId=upload,
                PartNumber=number,
            )
        )
        made = {name: value for name, value in answer["CopyPartResult"].items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"], **made}

    async def list_multiparts(self, prefix: str) -> AsyncIterator[Multipart]:
        """Walk uploads in parts."""
        more: dict[str, str] = {}
        while True:
            answer = await self._ask(
                self._c.client.list_multipart_uploads(Bucket=self._bucket, Prefix=self._root + prefix, **more)
            )
            for found in answer.get("Uploads", ()):
                name = str(found["Key"]).removeprefix(self._root)
                yield Multipart(name, str(found["UploadId"]), _microseconds(found["Initiated"]))
            if not answer.get("IsTruncated"):
                return
            more = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}

    def _place(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._root + name}

    async def _ask(self, request: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        with translated():
            try:
                return await request
            except ClientError as error:
                await self._learn(error)
                raise

    async def _learn(self, error: ClientError) -> None:
        """Take from a refusal what makes the next try a better one."""
        code = code_of(error)
        if code in EXPIRED:
            await self._c.renew_credentials()
            return
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code != SKEWED and not (status == HTTPStatus.FORBIDDEN and code in {"403", "Forbidden"}):
            return
        try:
            theirs = parsedate_to_datetime(headers["date"])
        except (KeyError, ValueError, TypeError):
            return
        if self._c.correct_clock(theirs):
            _log.warning("the clock of the object store says %s: requests are signed by it", theirs.isoformat())
            raise CloudBusy("the clocks differ")

    async def _read_fast(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        wanted: Any = None
        if length is not None:
            wanted = (start, start + length)
        elif start:
            wanted = {"offset": start}
        try:
            answer = await obstore.get_async(
                self._c.reader, self._root + name, options={} if wanted is None else {"range": wanted}
            )
            async for piece in answer.stream(min_chunk_size=_PIECE):
                yield bytes(piece)
        except FileNotFoundError:
            raise NoObject(name) from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise
        except BaseError as error:
            if "416 Range Not Satisfiable" in str(error):
                return  # it begins at the end
            raise CloudBusy(f"it cannot be read: {type(error).__name__}") from error

    async def _read_slowly(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        end = "" if length is None else start + length - 1
        wanted = {"Range": f"bytes={start}-{end}"} if start or length is not None else {}
        try:
            answer = await self._ask(self._c.client.get_object(**self._place(name), **wanted))
        except CloudRefused as error:
            if "InvalidRange" in str(error):
                return
            raise
        with translated():
            body = answer["Body"]
            try:
                async for piece in body.iter_chunks(_PIECE):
                    yield piece
            finally:
                body.close()


def _base64(sha256: bytes) -> str:
    return base64.b64encode(sha256).decode()


def _etag(answer: dict[str, Any]) -> str:
    return str(answer["ETag"]).strip('"')


def _microseconds(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
