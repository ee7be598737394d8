"""A proxy before an object store that counts what is asked of it and fails on request, as hosted stores do.

Requests go on byte for byte, with the `Host` that the client signed, so signatures stay valid: point a client at the
proxy's address, in path style. It runs in a thread of its own, for tests that wait and tests that do not::

    with store_proxy("s3", store.port) as proxy:
        proxy.fail(refuse(SLOW_DOWN), on="UploadPart", share=0.05)
        ...
        assert proxy.counts["ListObjects"] == 0
"""

from __future__ import annotations

import asyncio
import fnmatch
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time

from tests.support.store_operations import Asked, Kind, Refusal, operation

_PIECE = 64 << 10
_HEAD = 128 << 10
_LISTS = frozenset({"ListObjects", "ListBlobs", "ListMultipartUploads"})
#: Operations whose answers are remembered.
_REMEMBERED = _LISTS | {"UploadChunk", "QueryUpload"}
#: Answers without a body.
_BARE = frozenset({"204", "304"})
_EMPTY_LIST = {
    "s3": b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>',
    "azure": b'<?xml version="1.0"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>',
    "gcs": b'{"kind": "storage#objects"}',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to one request."""

    #: The store never sees the request: this is answered.
    refusal: Refusal | None = None
    #: Status in place of the refusal's own (200 for S3's CompleteMultipartUpload, whose errors come in the body).
    status: int | None = None
    #: How far the clock of the answer's `Date` is off, in seconds.
    skew: float = 0
    #: The connection is reset: before the store sees the request, or when it has done what was asked.
    reset: str = ""
    #: A listing is answered as it was the first time.
    stale: bool = False
    #: Seconds before the first byte of the answer.
    wait: float = 0
    #: Bytes a second, both ways.
    rate: int = 0
    #: The answer's body ends after so many bytes, though more were announced.
    cut_after: int | None = None
    #: One byte of the body is another one: on its way to the store, or back.
    flip: str = ""


def refuse(refusal: Refusal, *, status: int | None = None, skew: float = 0) -> Fault:
    """Answer in the store's place."""
    return Fault(refusal=refusal, status=status, skew=skew)


RESET = Fault(reset="before")
LOST_ANSWER = Fault(reset="after")
STALE_LIST = Fault(stale=True)


@dataclass(slots=True)
class Rule:
    """When a fault happens."""

    fault: Fault
    on: str
    share: float
    skip: int
    times: int | None
    hits: int = 0

    def applies(self, name: str, chance: random.Random) -> bool:
        """Decide about one request, and remember it."""
        if not fnmatch.fnmatchcase(name, self.on) or (self.times is not None and self.hits >= self.times):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.share < 1 and chance.random() >= self.share:
            return False
        self.hits += 1
        return True


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came."""

    operation: str
    asked: Asked
    fault: Fault | None


@dataclass(slots=True)
class GcsUpload:
    """What an upload session of Google Cloud Storage has; the stand-in behind ends one that it is asked about."""

    stored: str = ""  #: the `Range` that it gave
    object: bytes = b""  #: what it became


@dataclass(slots=True)
class StoreProxy:
    """A proxy that runs."""

    kind: Kind
    upstream: int
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    first_lists: dict[str, bytes] = field(default_factory=dict)
    gcs_uploads: dict[str, GcsUpload] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(12))
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(seen.operation for seen in self.seen)

    def fail(self, fault: Fault, *, on: str = "*", share: float = 1, skip: int = 0, times: int | None = None) -> Rule:
        """Let requests fail.

        Args:
            fault: How.
            on: Which operations, as a pattern.
            share: Of these, by chance.
            skip: After so many that pass.
            times: At most so often.
        """
        rule = Rule(fault, on, share, skip, times)
        self.rules.append(rule)
        return rule

    def heal(self) -> None:
        """Let everything pass, and forget what was counted."""
        self.rules.clear()
        self.seen.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the requests of one connection."""
        link = _Link(self, reader, writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await link.exchange():
                pass
        link.close()
        self.writers += [writer, *([link.up[1]] if link.up is not None else [])]

    def note(self, asked: Asked) -> Seen:
        """Count a request, and choose what happens to it."""
        name = operation(self.kind, asked)
        rule = next((rule for rule in list(self.rules) if rule.applies(name, self.chance)), None)
        seen = Seen(name, asked, rule.fault if rule else None)
        self.seen.append(seen)
        return seen


@dataclass(slots=True)
class _Head:
    """The head of a request or an answer, as bytes and as fields."""

    raw: bytes
    first: list[str]
    headers: dict[str, str]

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> _Head:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        return cls(raw, first.split(" ", 2), {name.strip().lower(): text.strip() for name, _, text in pairs})

    def with_fields(self, **fields: str) -> bytes:
        """Give the head with other values of some fields."""
        first, *lines = self.raw[:-4].decode("latin-1").split("\r\n")
        kept = [line for line in lines if line.partition(":")[0].lower() not in fields]
        return "\r\n".join([first, *kept, *(f"{name}: {text}" for name, text in fields.items()), "", ""]).encode(
            "latin-1"
        )


@dataclass(slots=True)
class _Link:
    """One client's connection, and the one to the store that goes with it."""

    proxy: StoreProxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    up: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self) -> bool:
        """Carry one request and its answer; says whether another may follow."""
        head = await _Head.read(self.reader)
        seen = self.proxy.note(Asked(method=head.first[0], target=head.first[1], headers=head.headers))
        fault = seen.fault or Fault()
        if fault.reset == "before":
            return self._reset()
        if fault.refusal is not None:
            return await self._answer_alone(head, fault.refusal, fault)
        if fault.stale and seen.operation in _LISTS:
            body = self.proxy.first_lists.get(seen.asked.target, _EMPTY_LIST[self.proxy.kind])
            return await self._answer(head, 200, {"content-type": "application/xml"}, body)
        if seen.operation == "QueryUpload" and (known := self._known_upload(seen.asked)) is not None:
            status, headers, body = known
            return await self._answer(head, status, headers, body)
        return await self._carry(head, seen, fault)

    def _known_upload(self, asked: Asked) -> tuple[int, dict[str, str], bytes] | None:
        """Say how an upload session stands, unless it is to be ended where it stands."""
        known = self.proxy.gcs_uploads.get(asked.query["upload_id"], GcsUpload())
        if known.object:
            return 200, {"content-type": "application/json"}, known.object
        has = int(known.stored.rpartition("-")[2]) + 1 if known.stored else 0
        if asked.headers["content-range"] == f"bytes */{has}":
            return None
        return 308, {"range": known.stored} if known.stored else {}, b""

    async def _answer_alone(self, head: _Head, refusal: Refusal, fault: Fault) -> bool:
        status, headers, body = refusal.render(self.proxy.kind)
        await asyncio.sleep(fault.wait)
        headers |= {"date": formatdate(time() + fault.skew, usegmt=True)}
        return await self._answer(head, fault.status or status, headers, body)

    async def _answer(self, head: _Head, status: int, headers: dict[str, str], body: bytes) -> bool:
        """Answer in the store's place, once the request was heard to its end."""
        if head.headers.get("expect", "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async for _ in _body(self.reader, head, answer=False):
            pass
        fields = {**headers, "content-length": str(len(body)), "x-amz-request-id": "proxy"}
        lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {text}" for name, text in fields.items()), "", ""]
        self.writer.write("\r\n".join(lines).encode() + (b"" if head.first[0] == "HEAD" else body))
        await self.writer.drain()
        return True

    async def _carry(self, head: _Head, seen: Seen, fault: Fault) -> bool:
        if self.up is None:
            self.up = await asyncio.open_connection("127.0.0.1", self.proxy.upstream, limit=_HEAD)
        reader, writer = self.up
        writer.write(head.raw)
        sending = asyncio.ensure_future(_send(self.reader, writer, head, fault))
        try:
            answer = await self._final(reader)
            if not sending.done():
                await asyncio.wait([sending], timeout=0.05)
            whole = sending.done() and sending.exception() is None
            if fault.reset == "after":
                bare = head.first[0] == "HEAD" or answer.first[1] in _BARE
                pieces = [] if bare else [piece async for piece in _body(self.up[0], answer, answer=True)]
                self._note(seen, answer, b"".join(pieces))
                return self._reset()
            await self._give_back(head, seen, answer, fault)
        finally:
            sending.cancel()
        return whole and answer.headers.get("connection", "").lower() != "close"

    async def _final(self, reader: asyncio.StreamReader) -> _Head:
        """Pass on that the store wants the body, and read its real answer."""
        while True:
            answer = await _Head.read(reader)
            if answer.first[1] != "100":
                return answer
            self.writer.write(answer.raw)
            await self.writer.drain()

    async def _give_back(self, asked: _Head, seen: Seen, answer: _Head, fault: Fault) -> None:
        assert self.up is not None
        await asyncio.sleep(fault.wait)
        changed = {}
        if "location" in answer.headers:  # where an upload goes on: here again
            there, here = f"127.0.0.1:{self.proxy.upstream}", f"127.0.0.1:{self.proxy.port}"
            changed["location"] = answer.headers["location"].replace(there, here)
        if fault.skew:
            changed["date"] = formatdate(time() + fault.skew, usegmt=True)
        self.writer.write(answer.with_fields(**changed))
        if asked.first[0] == "HEAD" or answer.first[1] in _BARE:
            return await self.writer.drain()
        listed, sent = [], 0
        async for piece in _paced(_body(self.up[0], answer, answer=True), fault, flip="back"):
            if fault.cut_after is not None and sent + len(piece) > fault.cut_after:
                self.writer.write(piece[: fault.cut_after - sent])
                await self.writer.drain()
                raise ConnectionResetError
            sent += len(piece)
            self.writer.write(piece)
            await self.writer.drain()
            listed.append(piece if seen.operation in _REMEMBERED else b"")
        return self._note(seen, answer, b"".join(listed))

    def _note(self, seen: Seen, answer: _Head, body: bytes) -> None:
        """Remember what later answers are made of."""
        if seen.operation in _LISTS and "chunked" not in answer.headers.get("transfer-encoding", ""):
            self.proxy.first_lists.setdefault(seen.asked.target, body)
        if seen.operation in {"UploadChunk", "QueryUpload"} and answer.first[1] in {"200", "308"}:
            known = GcsUpload(answer.headers.get("range", "")) if answer.first[1] == "308" else GcsUpload(object=body)
            self.proxy.gcs_uploads[seen.asked.query["upload_id"]] = known

    def _reset(self) -> bool:
        """Break the connection, so that the client sees a reset and no end."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        return False

    def close(self) -> None:
        """End both connections."""
        self.writer.close()
        if self.up is not None:
            self.up[1].close()


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: _Head, fault: Fault) -> None:
    async for piece in _paced(_body(reader, head, answer=False), fault, flip="there"):
        writer.write(piece)
        await writer.drain()


async def _paced(pieces: AsyncIterator[bytes], fault: Fault, *, flip: str) -> AsyncIterator[bytes]:
    """Give the pieces at the fault's pace, with a byte changed if that is the fault."""
    changed = fault.flip != flip
    async for piece in pieces:
        if fault.rate:
            await asyncio.sleep(len(piece) / fault.rate)
        if not changed and piece:
            changed = True
            middle = len(piece) // 2
            yield piece[:middle] + bytes([piece[middle] ^ 1]) + piece[middle + 1 :]
        else:
            yield piece


async def _body(reader: asyncio.StreamReader, head: _Head, *, answer: bool) -> AsyncIterator[bytes]:
    """Read a body as it is framed, the frames included."""
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        async for piece in _chunks(reader):
            yield piece
        return
    left = int(head.headers["content-length"]) if "content-length" in head.headers else (-1 if answer else 0)
    while left:
        piece = await reader.read(_PIECE if left < 0 else min(_PIECE, left))
        if not piece and left > 0:
            raise asyncio.IncompleteReadError(b"", left)
        if not piece:
            return
        left -= len(piece) if left > 0 else 0
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\r\n")
        yield line
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        yield await reader.readexactly(size + 2)
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        yield line
    yield b"\r\n"


@contextmanager
def store_proxy(kind: Kind, upstream: int) -> Iterator[StoreProxy]:
    """Run a proxy on a free port of the loopback before a store's."""
    proxy = StoreProxy(kind, upstream)
    ready, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=_HEAD)
        proxy.port = server.sockets[0].getsockname()[1]
        loops.append(asyncio.get_running_loop())
        ready.set()
        await ended.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in proxy.writers:
            writer.transport.abort()  # what nobody took is never sent
        await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield proxy
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(10)
