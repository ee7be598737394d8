"""Azure Blob Storage as a cloud: block blobs, whose blocks nobody sees before a list of them is committed.

registry:2 begins its names with a slash and knows no root, which is what `rootdirectory` is to registry:3. Where a
container holds names of registry:2 only, those are used, and ours lie beside them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Final

import aiohttp
from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
)
from azure.storage.blob import BlobBlock, BlobProperties
from azure.storage.blob.aio import BlobClient, BlobPrefix
from yarl import URL

from entrepot.adapters.blobs.objects.azure_sign_in import SignedIn, sign_in
from entrepot.adapters.blobs.objects.cloud import (
    Buffer,
    CloudBusy,
    CloudError,
    CloudRefused,
    Described,
    Limits,
    Multipart,
    NoMultipart,
    NoObject,
    Part,
    Payload,
    in_pieces,
)
from entrepot.config.schema.cloud_storage import Azure
from entrepot.registry import layout

_log = logging.getLogger(__name__)

_BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})
#: Refusals of what came, not of what was meant: a token ran out, bytes were changed (in Azurite's words, too).
_CHANCE: Final = frozenset({"InvalidAuthenticationInfo", "Md5Mismatch", "InvalidOperation"})
#: Seconds between looks at a copy.
_COPY_PAUSE: Final = 0.5
_SMALLEST_BLOCK: Final = 4 << 20
_PIECE: Final = 256 << 10
#: Characters of a block's SHA-256 in its id.
_SUM: Final = 26
#: What stands before all names of registry:2 and registry:3.
_REGISTRY2: Final = layout.BLOBS.rpartition("/")[0]
#: The id of every upload in blocks: they belong to a name, and each name is used once.
_BLOCKS: Final = "blocks"
_BYTES: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
#: Seconds for which nobody is asked for a key again once that was refused.
_QUIET: Final = 600
_DENIED: Final = "check name and key of the account in storage.azure, or let its identity be a Blob Data Contributor"


class AzureCloud:
    """A container, below a root."""

    def __init__(self, signed_in: SignedIn, section: Azure) -> None:
        """Ask nothing yet."""
        self._signed_in = signed_in
        self._container = signed_in.client.get_container_client(section.container)
        self._root = section.root
        self._root_of_registry2: str | None = None
        self._verify = not section.skipverify
        self._reading: aiohttp.ClientSession | None = None
        self._signs_from = 0.0

    @classmethod
    async def open(cls, section: Azure) -> AzureCloud:
        """Make a client of the container that a configuration names, which is asked nothing yet.

        Raises:
            CloudRefused: The connection string or the key is none.
        """
        try:
            return cls(sign_in(section), section)
        except ValueError as error:
            raise CloudRefused(f"what it says to sign in with is none ({error})") from None

    @property
    def limits(self) -> Limits:
        """A blob has 50,000 blocks at most. They may be of any size; small ones would only be more requests."""
        return Limits(smallest_part=_SMALLEST_BLOCK, most_parts=50_000)

    @property
    def deletes_at_once(self) -> int:
        """Each is a request."""
        return 32

    async def check(self) -> None:
        """Make sure that the container is there."""
        await self._has_any(self._root)

    async def put(self, name: str, payload: Payload) -> str:
        """Store a blob in one request."""
        data, headers = bytes(payload.data), await _checked(payload.data)
        with self._told():
            made = await (await self._blob(name)).upload_blob(data, length=len(data), overwrite=True, headers=headers)
        return _bare(str(made["etag"]))

    async def begin(self, name: str) -> str:
        """Begin without asking."""
        del name
        return _BLOCKS

    async def put_part(self, name: str, upload: str, number: int, offset: int, payload: Payload) -> str:
        """Store a block, whose id holds its sum: one of the same number that comes late takes nobody's place."""
        del upload, offset
        block = f"{number:06}{payload.sha256.hex()[:_SUM]}"
        headers, data = await _checked(payload.data), in_pieces(payload.data)
        with self._told():
            await (await self._blob(name)).stage_block(
                block,
                data,  # type: ignore[arg-type]
                length=len(payload.data),
                headers=headers,
            )
        return block

    async def complete(self, name: str, upload: str, parts: Sequence[Part]) -> str:
        """Commit the list of blocks, unless that was done before."""
        del upload
        blob, blocks = await self._blob(name), [BlobBlock(part.mark) for part in parts]
        try:
            with self._told():
                made = await blob.commit_block_list(blocks, match_condition=MatchConditions.IfMissing)
        except _Exists:
            raise NoMultipart from None
        return _bare(str(made["etag"]))

    async def abort(self, name: str, upload: str) -> None:
        """Drop the blocks of a name that is no blob: one in one request takes their place, and is deleted."""
        del upload
        try:
            await self.describe(name)
        except NoObject:
            with self._told():
                await (await self._blob(name)).upload_blob(b"", length=0, overwrite=True)
            await self.delete([name])

    async def describe(self, name: str) -> Described:
        """Describe a blob."""
        with self._told():
            found = await (await self._blob(name)).get_blob_properties()
        return _described(found, name)

    async def read(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        """Read a blob in one request.

        The library would make several, hold pieces of four MiB and take three times the processor time.
        """
        span = {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"}
        with self._told():
            url, let_in = await self._signed_in.reading(await self._blob(name))
        try:
            async with self._session().get(URL(url, encoded=True), headers={**span, **let_in}) as answer:
                if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return
                if answer.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                    raise self._fact(answer.status, answer.headers.get("x-ms-error-code", ""), answer.headers)
                async for piece in answer.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CloudBusy(str(error) or type(error).__name__) from error

    async def delete(self, names: Sequence[str]) -> None:
        """Remove blobs."""
        await asyncio.gather(*(self._delete(name) for name in names))

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Described]:
        """Walk the blobs."""
        root = await self._root_of(prefix)
        more = {"start_from": root + after} if after else {}
        with self._told():
            async for found in self._container.list_blobs(name_starts_with=root + prefix, **more):  # type: ignore[arg-type]
                name = found.name.removeprefix(root)
                if name > after:
                    yield _described(found, name)

    async def folders(self, prefix: str) -> AsyncIterator[str]:
        """Walk what comes behind a prefix, up to the next slash."""
        begin = await self._root_of(prefix) + prefix
        with self._told():
            async for found in self._container.walk_blobs(name_starts_with=begin, delimiter="/"):
                if isinstance(found, BlobPrefix):
                    yield found.name.removeprefix(begin).rstrip("/")

    async def copy(self, source: str, target: str, size: int) -> None:
        """Copy a blob within the account, which is done at once, or soon."""
        del size
        origin, copy = await self._blob(source), await self._blob(target)
        with self._told():
            url, _ = await self._signed_in.reading(origin)
            state = str((await copy.start_copy_from_url(url))["copy_status"])
            while state == "pending":
                await asyncio.sleep(_COPY_PAUSE)
                state = str((await copy.get_blob_properties()).copy.status)
        if state != "success":
            raise CloudBusy(f"a copy ended as {state}")

    async def list_multiparts(self, prefix: str) -> AsyncIterator[Multipart]:
        """Walk the names that have blocks and no blob."""
        root = await self._root_of(prefix)
        with self._told():
            async for found in self._container.list_blobs(name_starts_with=root + prefix, include=["uncommittedblobs"]):
                if found.size == 0 and await self._has_blocks(found.name):
                    yield Multipart(found.name.removeprefix(root), _BLOCKS, _micros(found.last_modified))

    async def presign(self, name: str, seconds: int) -> str | None:
        """Give an address of a blob that lets in whoever has it; asks nobody, but now and then for a key to sign with.

        None where the registry may not sign: it has an address that somebody signed for it, or may have no key.
        """
        signer = self._signed_in.signer
        if signer is None or time.monotonic() < self._signs_from:
            return None
        try:
            with self._told():
                return await signer.sign(await self._blob(name), seconds, content_type=_BYTES, cache_control=_FOR_EVER)
        except CloudError as error:
            self._signs_from = time.monotonic() + _QUIET
            _log.warning("Azure Blob Storage: addresses cannot be signed (%s); blobs pass through here", error)
            return None

    async def close(self) -> None:
        """End all connections."""
        if self._reading is not None:
            await self._reading.close()
        await self._container.close()
        await self._signed_in.close()

    async def _has_any(self, beginning: str) -> bool:
        with self._told():
            async for _ in self._container.list_blobs(name_starts_with=beginning, results_per_page=1):
                return True
        return False

    async def _root_of(self, name: str) -> str:
        """Give what a name begins with; of those of registry:2 and registry:3 that is found out when first needed."""
        if not name.startswith(_REGISTRY2):
            return self._root
        if self._root_of_registry2 is None:
            old, new = await self._has_any(f"/{_REGISTRY2}/"), await self._has_any(f"{self._root}{_REGISTRY2}/")
            if old and new:
                _log.warning(
                    "the container holds names of registry:2 (/%s) and of registry:3 (%s%s); the latter are used",
                    *(_REGISTRY2, self._root, _REGISTRY2),
                )
            self._root_of_registry2 = "/" if old and not new else self._root
        return self._root_of_registry2

    async def _blob(self, name: str) -> BlobClient:
        return self._container.get_blob_client(await self._root_of(name) + name)

    def _session(self) -> aiohttp.ClientSession:
        if self._reading is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=10)
            connector = aiohttp.TCPConnector(limit=0, ssl=self._verify)
            self._reading = aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=True)
        return self._reading

    async def _delete(self, name: str) -> None:
        try:
            with self._told():
                await (await self._blob(name)).delete_blob()
        except NoObject:
            pass

    async def _has_blocks(self, name: str) -> bool:
        _, open_ones = await self._container.get_blob_client(name).get_block_list("uncommitted")
        return bool(open_ones)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the library raises into what the store of blobs knows."""
        try:
            yield
        except ResourceExistsError as error:
            raise _Exists from error
        except HttpResponseError as error:
            if error.response is None:  # no token
                raise CloudBusy(f"cannot sign in: {error.message}") from error
            raise self._fact(error.status_code or 0, _code(error), getattr(error.response, "headers", {})) from error
        except (AzureError, OSError) as error:
            raise CloudBusy(str(error)) from error

    def _fact(self, status: int, code: str, headers: Mapping[str, str]) -> CloudError:
        if code == "ContainerNotFound":
            return CloudRefused("there is no such container; make it, or name another in storage.azure.container")
        if status == HTTPStatus.NOT_FOUND or code == "InvalidBlockList":
            return NoObject() if status == HTTPStatus.NOT_FOUND else NoMultipart()
        if status in _BUSY or code in _CHANCE:
            return CloudBusy(f"{status} {code}", slow_down=status in {429, 503})
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return self._denied(f"{status} {code}", headers.get("Date"), is_unknown=code == "AuthenticationFailed")
        return CloudRefused(f"{status} {code}")

    def _denied(self, said: str, date: str | None, *, is_unknown: bool) -> CloudError:
        """Learn from a refusal what makes the next try a better one: the store's time, or that a token ran out."""
        if self._signed_in.clock.learn(date):
            return CloudBusy("the clocks differ")
        if is_unknown and self._signed_in.identity is not None:
            return CloudBusy("the token was refused")
        return CloudRefused(f"{said}: {_DENIED}")


class _Exists(CloudError):
    """The name is taken."""


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _described(found: BlobProperties, name: str) -> Described:
    return Described(name=name, size=found.size, etag=_bare(found.etag or ""), placed_at=_micros(found.creation_time))


async def _checked(data: Buffer) -> dict[str, str]:
    """Give the header by which Azure makes sure of the bytes."""
    made = await asyncio.to_thread(lambda: hashlib.md5(data, usedforsecurity=False).digest())
    return {"Content-MD5": base64.b64encode(made).decode()}


def _bare(etag: str) -> str:
    """Give an ETag as listings have it."""
    return etag.strip('"')


def _micros(at: datetime | None) -> int:
    return int(at.timestamp() * 1_000_000) if at is not None else 0
