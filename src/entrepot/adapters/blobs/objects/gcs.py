"""Google Cloud Storage as a cloud: its JSON interface, whose uploads in parts are sessions that take bytes in order.

A session says how many bytes it has, but not which: so a part goes into it only at the byte where this process, or the
state that was kept, knows it to stand. One that stands elsewhere (a process died between the store's answer and keeping
it) is given up, and the client sends its blob again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from google.auth.credentials import Credentials
from yarl import URL

import entrepot
from entrepot.adapters.blobs.objects import crc32c
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
from entrepot.adapters.blobs.objects.gcs_sign_in import Tokens, credentials_of
from entrepot.adapters.blobs.objects.gcs_signing import Signer
from entrepot.config.schema.cloud_storage import Gcs

_log = logging.getLogger(__name__)

_GOOGLE: Final = "https://storage.googleapis.com"
_STAND_IN: Final = "STORAGE_EMULATOR_HOST"

#: A session takes its bytes in multiples of this, but for the last.
GRAIN: Final = 256 << 10
_SMALLEST_PIECE: Final = 1 << 20
_FIELDS: Final = "name,size,generation,timeCreated,contentType,crc32c"
#: What registry:2 keeps an upload in that is not at its end: no blob, whatever its name.
_UPLOAD_SESSION: Final = "application/x-docker-upload-session"
_BYTES: Final = "application/octet-stream"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_BUSY: Final = frozenset({408, 429, 500, 502, 503, 504})
_PAGE: Final = 1000
_PIECE: Final = 256 << 10
#: Upload sessions whose place is remembered; some hundred bytes each.
_REMEMBERED: Final = 1024


@dataclass(slots=True)
class _Session:
    """What this process knows of an upload session."""

    stands_at: int  #: bytes that it surely has
    trying: bytes | None = None  #: SHA-256 of the part that may have come behind them, or not
    object: Mapping[str, Any] | None = None  #: what it became


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def resource(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class GcsCloud:
    """A bucket, below a root."""

    def __init__(self, section: Gcs, credentials: Credentials | None, url: str = _GOOGLE) -> None:
        """Ask nothing yet.

        Args:
            section: Names the bucket.
            credentials: To sign in with; None where everybody is let in.
            url: Of the service.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=20)
        connector = aiohttp.TCPConnector(limit=section.maxconcurrency)
        agent = {"User-Agent": section.useragent or f"entrepot/{entrepot.__version__}"}
        self._http = aiohttp.ClientSession(timeout=timeout, connector=connector, headers=agent, trust_env=True)
        self._tokens = Tokens(credentials)
        self._signer = Signer(credentials)
        self._url = url.rstrip("/")
        self._bucket = quote(section.bucket, safe="")
        self._root = section.root
        self._piece = section.chunksize
        self._sessions: dict[str, _Session] = {}

    @classmethod
    async def open(cls, section: Gcs) -> GcsCloud:
        """Make a client of the bucket that a configuration names, which is asked nothing yet.

        Where `STORAGE_EMULATOR_HOST` names a stand-in, as for Google's own clients, that is asked, without credentials
        unless the section has some.

        Raises:
            CloudRefused: There are no credentials.
        """
        stand_in, has_key = os.environ.get(_STAND_IN, ""), section.keyfile or section.credentials
        try:
            found = None if stand_in and not has_key else await asyncio.to_thread(credentials_of, section)
        except ValueError as error:
            raise CloudRefused(str(error)) from None
        url = stand_in if "://" in stand_in else f"http://{stand_in}"
        return cls(section, found, url if stand_in else _GOOGLE)

    @property
    def limits(self) -> Limits:
        """A session takes one piece after another. Small ones would only be more requests."""
        smallest = min(self._piece, _SMALLEST_PIECE)
        return Limits(
            smallest_part=smallest, part_multiple=GRAIN, parts_at_once=1, first_part=self._piece, names_bytes=False
        )

    @property
    def deletes_at_once(self) -> int:
        """Each is a request."""
        return 32

    async def check(self) -> None:
        """Ask for the first name, which whoever may use the bucket may."""
        try:
            await self._ask("GET", f"{self._objects}?maxResults=1&fields=nextPageToken")
        except NoObject:
            raise CloudRefused("there is no such bucket; make it, or name another in storage.gcs.bucket") from None

    async def put(self, name: str, payload: Payload) -> str:
        """Store an object in one request, whose bytes the store checks against their sum."""
        md5 = await asyncio.to_thread(lambda: hashlib.md5(payload.data, usedforsecurity=False).digest())
        about = {"contentType": _BYTES, "md5Hash": base64.b64encode(md5).decode()}
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(about)}\r\n--{boundary}\r\n"
        head += f"Content-Type: {_BYTES}\r\n\r\n"
        body = b"".join([head.encode(), payload.data, f"\r\n--{boundary}--\r\n".encode()])
        kind = {"Content-Type": f"multipart/related; boundary={boundary}"}
        made = (
            await self._ask(
                "POST", self._uploads(uploadType="multipart", fields=_FIELDS, name=self._root + name), kind, body
            )
        ).resource
        if made.get("crc32c") != crc32c.written(await asyncio.to_thread(crc32c.of, payload.data)):
            raise CloudBusy("the store has other bytes than were sent")
        return self._described(made).etag

    async def begin(self, name: str) -> str:
        """Begin an upload session; its address lets in whoever has it."""
        asked = self._uploads(uploadType="resumable", fields=_FIELDS, name=self._root + name)
        about = json.dumps({"contentType": _BYTES}).encode()
        answer = await self._ask("POST", asked, {"Content-Type": "application/json"}, about)
        session = answer.headers["Location"]
        self._remember(session, _Session(0))
        return session

    async def put_part(self, name: str, upload: str, number: int, offset: int, payload: Payload) -> str:
        """Put the next bytes into a session; those that are no multiple of its grain are its last."""
        del name, number
        end = offset + len(payload.data)
        known = self._sessions.get(upload)
        if known is None or known.stands_at != offset or known.trying is not None:
            known = await self._find_place(upload, offset, payload, known)
        known.trying = payload.sha256
        while known.object is None and known.stands_at < end:
            left = memoryview(payload.data)[known.stands_at - offset :]
            total = "*" if end % GRAIN == 0 else str(end)
            span = {"Content-Range": f"bytes {known.stands_at}-{end - 1}/{total}"}
            self._take(known, await self._ask("PUT", upload, span, left, also={HTTPStatus.PERMANENT_REDIRECT}))
        known.stands_at, known.trying = end, None
        return f"{await asyncio.to_thread(crc32c.of, payload.data):08x}"

    async def complete(self, name: str, upload: str, parts: Sequence[Part]) -> str:
        """End a session with the bytes that it has, and hold the object against the sums of its parts."""
        size = sum(part.size for part in parts)
        known = self._sessions.pop(upload, None)
        made = None if known is None else known.object
        if made is None:
            answer = await self._ask("PUT", upload, {"Content-Range": f"bytes */{size}"}, also=_ENDED)
            made = answer.resource if answer.status < HTTPStatus.MULTIPLE_CHOICES else await self._found(name)
        found = self._described(made)
        wanted = crc32c.written(crc32c.joined((int(part.mark, 16), part.size) for part in parts))
        if (found.size, made.get("crc32c")) != (size, wanted):
            _log.error("Google Cloud Storage has other bytes of an upload than were sent")
            raise NoMultipart
        return found.etag

    async def abort(self, name: str, upload: str) -> None:
        """End a session, and remove what it may have become."""
        self._sessions.pop(upload, None)
        await self._ask("DELETE", upload, also=_ENDED)
        await self._delete(name)

    async def describe(self, name: str) -> Described:
        """Describe an object."""
        found = (await self._ask("GET", f"{self._object(name)}?fields={_FIELDS}")).resource
        if found.get("contentType") == _UPLOAD_SESSION:
            raise NoObject
        return self._described(found)

    async def read(self, name: str, start: int, length: int | None) -> AsyncGenerator[bytes, None]:
        """Read an object."""
        span = {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"}
        token = await self._tokens.headers()
        try:
            async with self._http.get(URL(self._media(name), encoded=True), headers={**span, **token}) as answer:
                if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return
                if answer.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                    if answer.status == HTTPStatus.UNAUTHORIZED and token:
                        await self._tokens.headers(refused=token["Authorization"])
                        raise CloudBusy("the token was refused")
                    raise _fact(answer.status, await answer.read())
                async for piece in answer.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CloudBusy(str(error) or type(error).__name__) from error

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects."""
        await asyncio.gather(*(self._delete(name) for name in names))

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Described]:
        """Walk the objects, but for registry:2's uploads."""
        asked = {"prefix": self._root + prefix, "maxResults": str(_PAGE), "fields": f"items({_FIELDS}),nextPageToken"}
        if after:
            asked["startOffset"] = self._root + after
        while True:
            page = (await self._ask("GET", f"{self._objects}?{urlencode(asked)}")).resource
            for item in page.get("items", []):
                found = self._described(item)
                if found.name > after and item.get("contentType") != _UPLOAD_SESSION:
                    yield found
            if not page.get("nextPageToken"):
                return
            asked["pageToken"] = page["nextPageToken"]

    async def folders(self, prefix: str) -> AsyncIterator[str]:
        """Walk what comes behind a prefix, up to the next slash."""
        begin = self._root + prefix
        asked = {"prefix": begin, "delimiter": "/", "maxResults": str(_PAGE), "fields": "prefixes,nextPageToken"}
        while True:
            page = (await self._ask("GET", f"{self._objects}?{urlencode(asked)}")).resource
            for found in page.get("prefixes", []):
                yield found.removeprefix(begin).rstrip("/")
            if not page.get("nextPageToken"):
                return
            asked["pageToken"] = page["nextPageToken"]

    async def copy(self, source: str, target: str, size: int) -> None:
        """Copy an object within the bucket, in as many steps as the store makes of it."""
        del size
        about = json.dumps({"contentType": _BYTES}).encode()
        url = f"{self._object(source)}/rewriteTo/b/{self._bucket}/o/{quote(self._root + target, safe='')}"
        more = ""
        while True:
            answer = await self._ask("POST", url + more, {"Content-Type": "application/json"}, about)
            if answer.resource.get("done"):
                return
            more = f"?rewriteToken={quote(answer.resource['rewriteToken'], safe='')}"

    async def list_multiparts(self, prefix: str) -> AsyncIterator[Multipart]:
        """Give none: nobody can list sessions, and the store itself ends them after a week."""
        del prefix
        nothing: tuple[Multipart, ...] = ()
        for each in nothing:
            yield each

    async def presign(self, name: str, seconds: int) -> str | None:
        """Give an address that lets in whoever has it; None when nobody signs for these credentials."""
        answer = {"response-content-type": _BYTES, "response-cache-control": _FOR_EVER}
        return await self._signer.sign(self._media(name), seconds, answer)

    async def close(self) -> None:
        """End all connections."""
        await self._http.close()

    @property
    def _objects(self) -> str:
        return f"{self._url}/storage/v1/b/{self._bucket}/o"

    def _object(self, name: str) -> str:
        return f"{self._objects}/{quote(self._root + name, safe='')}"

    def _uploads(self, **asked: str) -> str:
        return f"{self._url}/upload/storage/v1/b/{self._bucket}/o?{urlencode(asked)}"

    def _media(self, name: str) -> str:
        return f"{self._url}/{self._bucket}/{quote(self._root + name, safe='/~')}"

    async def _found(self, name: str) -> Mapping[str, Any]:
        try:
            return (await self._ask("GET", f"{self._object(name)}?fields={_FIELDS}")).resource
        except NoObject:
            raise NoMultipart from None

    async def _delete(self, name: str) -> None:
        with suppress(NoObject):
            await self._ask("DELETE", self._object(name))

    async def _find_place(self, upload: str, offset: int, payload: Payload, known: _Session | None) -> _Session:
        """Ask a session how many bytes it has, which are those before `offset`, and perhaps some of an earlier try.

        Raises:
            NoMultipart: It has other bytes than the state says.
        """
        answer = await self._ask("PUT", upload, {"Content-Range": "bytes */*"}, also=_ENDED)
        if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE, _CLIENT_CLOSED}:
            raise NoMultipart
        found = _Session(0)
        self._take(found, answer)
        is_ours = known is not None and known.trying == payload.sha256
        end = offset + len(payload.data)
        if found.stands_at < offset or found.stands_at > (end if is_ours else offset):
            raise NoMultipart
        self._remember(upload, found)
        return found

    def _take(self, known: _Session, answer: _Answer) -> None:
        """Note what a session answered: what it has, or what it became."""
        if answer.status == HTTPStatus.PERMANENT_REDIRECT:
            span = answer.headers.get("Range", "")  # bytes=0-N, absent when it has none
            known.stands_at = int(span.rpartition("-")[2]) + 1 if span else 0
        else:
            known.object = answer.resource
            known.stands_at = int(known.object.get("size", 0))

    def _remember(self, upload: str, session: _Session) -> None:
        self._sessions[upload] = session
        if len(self._sessions) > _REMEMBERED:  # the oldest is asked again where it stands
            del self._sessions[next(iter(self._sessions))]

    def _described(self, item: Mapping[str, Any]) -> Described:
        return Described(
            name=str(item["name"]).removeprefix(self._root),
            size=int(item.get("size", 0)),
            etag=str(item["generation"]),
            placed_at=int(datetime.fromisoformat(item["timeCreated"]).timestamp() * 1_000_000),
        )

    async def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Buffer = b"",
        also: Collection[int] = (),
    ) -> _Answer:
        """Send a request, and once more where its token was refused.

        Raises:
            CloudError: The answer is no success, nor one of `also`; or there was none.
        """
        token = await self._tokens.headers()
        answer = await self._send(method, url, {**(headers or {}), **token}, body)
        if answer.status == HTTPStatus.UNAUTHORIZED and token:
            token = await self._tokens.headers(refused=token["Authorization"])
            answer = await self._send(method, url, {**(headers or {}), **token}, body)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                raise CloudBusy(f"the token was refused, and a new one, too: {_reason(answer.body)}")
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES and answer.status not in also:
            raise _fact(answer.status, answer.body)
        return answer

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: Buffer) -> _Answer:
        length = {} if method == "GET" else {"Content-Length": str(len(body))}
        data = in_pieces(body) if len(body) else None
        try:
            async with self._http.request(
                method, URL(url, encoded=True), headers={**headers, **length}, data=data, allow_redirects=False
            ) as answer:
                return _Answer(answer.status, answer.headers.copy(), await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CloudBusy(str(error) or type(error).__name__) from error


#: Google's status of a session that was ended by its client.
_CLIENT_CLOSED: Final = 499
_ENDED: Final = frozenset(
    {HTTPStatus.PERMANENT_REDIRECT, HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.NO_CONTENT, _CLIENT_CLOSED}
)


def _fact(status: int, body: bytes) -> CloudError:
    if status == HTTPStatus.NOT_FOUND:
        return NoObject()
    reason = _reason(body)
    if status in _BUSY or reason == "rateLimitExceeded":
        return CloudBusy(f"{status} {reason}", slow_down=status in {429, 503})
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return CloudRefused(
            f"{status} {reason}: give the account of storage.gcs the role Storage Object User for the bucket"
        )
    return CloudRefused(f"{status} {reason}")


def _reason(body: bytes) -> str:
    """Read the code of a refusal, which is safe to log; its text may hold an address that lets in."""
    try:
        return str(json.loads(body)["error"]["errors"][0]["reason"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
