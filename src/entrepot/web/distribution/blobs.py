"""`/v2/<name>/blobs/<digest>` (end-2, end-10).

Bytes leave by the cheapest way there is: small blobs out of memory; others from where clients are sent for them
(`Services.urls`), or as files by the server or the kernel; and what is left streams through the registry.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import lru_cache, partial
from secrets import token_hex

from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.oci.media_type import OCTET_STREAM
from entrepot.oci.negotiation import matches_etag
from entrepot.oci.ranges import ByteRange, parse_ranges
from entrepot.oci.reference import RepositoryName
from entrepot.registry.model import BlobRecord
from entrepot.registry.ports import StoredBlob
from entrepot.registry.verification import PULL, lost
from entrepot.web.distribution.authorise import actor, authorise
from entrepot.web.http import Header, Repeatable, Request
from entrepot.web.responses import (
    ATTACHMENT,
    NO_STORE,
    PUSHED_POLICY,
    BytesResponse,
    FilePartResponse,
    FileResponse,
    HeadResponse,
    Response,
    StreamResponse,
)
from entrepot.web.services import Services

#: A suspect blob of at most so many bytes is read before it is sent, also when all of it is wanted: it would be held
#: back to its last byte anyway, and so the answer can say what is wrong.
_READ_FIRST = 1024 * 1024

_LOGGER = logging.getLogger(__name__)

#: From so many bytes on, what the kernel saves by sending them itself is worth a connection that ends afterwards.
_LARGE = 1 << 20


async def get_blob(request: Request, services: Services) -> Response:
    """Answer end-2 for GET: the blob, or the parts of it that the Range header asks for."""
    name, _ = await authorise(request, services)
    digest = Digest.parse(request.target)
    blob = await services.registry.blobs.get(name, digest)
    if matches_etag(request.header(b"if-none-match"), digest):
        return Response(304, _headers(digest))
    parts = _parts(request, blob)
    if not parts:
        return await _bytes(request, services, blob, ByteRange(0, blob.size), 200, _headers(digest))
    if len(parts) > 1:
        return await _several(services, blob, parts)
    headers = (*_headers(digest), (b"content-range", _content_range(parts[0], blob)))
    return await _bytes(request, services, blob, parts[0], 206, headers)


async def head_blob(request: Request, services: Services) -> Response:
    """Answer end-2 for HEAD.

    Clients skip pushing what this says is there. So it renews the grace of a queued blob, and looks at the file, where
    it is one: a push heals a blob that was lost only if the client is made to push it.
    """
    name, _ = await authorise(request, services)
    digest = Digest.parse(request.target)
    blob = await services.registry.blobs.stat(name, digest)
    is_still = partial(services.registry.blobs.is_still, name, blob)
    rests_on = Repeatable(is_still=is_still)
    if services.files is not None:
        path = str(services.files.path(blob.key))
        await _look(services, blob, path)
        rests_on = Repeatable(file=path, size=blob.size, is_still=is_still)
    request.repeatable = rests_on if blob.settled else None
    if matches_etag(request.header(b"if-none-match"), digest):
        return Response(304, _headers(digest))
    return HeadResponse(200, _headers(digest), blob.size)


async def delete_blob(request: Request, services: Services) -> Response:
    """Answer end-10."""
    name, principal = await authorise(request, services)
    digest = Digest.parse(request.target)
    await services.registry.blobs.delete(name, digest, actor=await actor(request, principal, name, services))
    return Response(202)


def _parts(request: Request, blob: BlobRecord) -> tuple[ByteRange, ...]:
    """Return the parts to send, none for all of it; `If-Range` must name this blob for a range to count."""
    wanted = request.header(b"range")
    if wanted is None:
        return ()
    condition = request.header(b"if-range")
    if condition is not None and not matches_etag(condition, blob.digest):
        return ()
    return parse_ranges(wanted, blob.size)


def _content_range(part: ByteRange, blob: BlobRecord) -> bytes:
    return b"bytes %d-%d/%d" % (part.start, part.last, blob.size)


async def _several(services: Services, blob: BlobRecord, parts: Sequence[ByteRange]) -> Response:
    """Send several parts of a blob as `multipart/byteranges` (RFC 9110, section 14.6)."""
    path = None if services.files is None else str(services.files.path(blob.key))
    if path is None:
        described = await _suspect_object(services, blob)
    else:
        described = _suspect_file(services, blob, await _look(services, blob, path))
    if described is not None:
        await services.registry.verifying.ensure(blob, described)
    boundary = token_hex(30).encode()
    kind = OCTET_STREAM.encode()
    heads = [
        b"--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n" % (boundary, kind, _content_range(part, blob))
        for part in parts
    ]
    end = b"--%s--\r\n" % boundary

    async def pieces() -> AsyncGenerator[bytes, None]:
        for head, part in zip(heads, parts, strict=True):
            yield head
            async with aclosing(services.store.stream(blob.key, part.start, part.length)) as stream:
                async for piece in stream:
                    yield piece
            yield b"\r\n"
        yield end

    length = sum(len(head) + part.length + 2 for head, part in zip(heads, parts, strict=True)) + len(end)
    headers = [header for header in _headers(blob.digest) if header[0] != b"content-type"]
    headers.append((b"content-type", b"multipart/byteranges; boundary=" + boundary))
    return StreamResponse(206, headers, pieces(), length)


async def _bytes(
    request: Request, services: Services, blob: BlobRecord, part: ByteRange, status: int, headers: tuple[Header, ...]
) -> Response:
    """Send a part of a blob, which is in memory if it is small.

    Unless the blob is suspect, a client is sent elsewhere for it, if there is such a place; of files, a large part is
    sent by the kernel, and all of a blob, also when asked for as `bytes=0-`, by the server's file path where the kernel
    cannot.
    """
    content = await services.registry.small_blobs.content(blob)
    if content is not None:
        is_still = partial(services.registry.blobs.is_still, RepositoryName.parse(request.name), blob)
        request.repeatable = Repeatable(is_still=is_still) if blob.settled else None
        return BytesResponse(status, headers, content[part.start : part.start + part.length])
    path = None if services.files is None else str(services.files.path(blob.key))
    if path is None:
        described = await _suspect_object(services, blob)
    else:
        described = _suspect_file(services, blob, await _look(services, blob, path))
    if described is not None:
        if part.length == blob.size > _READ_FIRST:
            return StreamResponse(status, headers, services.registry.verifying.stream(blob, described), blob.size)
        await services.registry.verifying.ensure(blob, described)
    elif services.urls is not None and (url := await services.urls.url(blob.key, request.client)) is not None:
        request.bytes_elsewhere = part.length
        return Response(307, (*_redirect_headers(blob.digest), (b"location", url.encode("ascii"))))
    if services.cache is not None:
        path = services.cache.path(blob)
    if path is not None and part.length >= _LARGE and request.can_send_parts:
        return FilePartResponse(status, headers, path, part.start, part.length)
    if path is not None and part.length == blob.size and request.can_send_files:
        return FileResponse(status, headers, path, blob.size)
    pieces = await _pieces(services, blob, part, is_file=path is not None)
    return StreamResponse(status, headers, pieces, part.length)


async def _pieces(
    services: Services, blob: BlobRecord, part: ByteRange, *, is_file: bool
) -> AsyncGenerator[bytes, None]:
    """Begin to read; of an object the first piece is waited for, since nobody has looked whether it is there.

    That it is gone can be said only before the answer's head is out.
    """
    if services.cache is not None:
        pieces = services.cache.stream(blob, part.start, part.length)
    else:
        pieces = services.store.stream(blob.key, part.start, part.length)
    if is_file:
        return pieces
    try:
        first = await anext(pieces, b"")
    except BlobUnknown:
        _LOGGER.error("the object of blob %s is gone", blob.digest)  # noqa: TRY400 - no trace
        raise lost(blob) from None

    async def whole() -> AsyncGenerator[bytes, None]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return whole()


def _suspect_file(services: Services, blob: BlobRecord, file: os.stat_result) -> StoredBlob | None:
    """Describe the file of a blob that must be verified before it is sent; None for one that need not be."""
    if not services.registry.verifying.is_suspect(blob, file.st_ino, file.st_mtime_ns):
        return None
    return StoredBlob(key=blob.key, size=blob.size, inode=file.st_ino, mtime_ns=file.st_mtime_ns)


async def _suspect_object(services: Services, blob: BlobRecord) -> StoredBlob | None:
    """Do the same for an object, which is looked at only once it is suspect; and now and then (`ObjectLooks`)."""
    if not services.registry.verifying.is_suspect(blob, None, None):
        if services.looks is not None:
            services.looks.pulled(blob)
        return None
    try:
        described = await services.store.stat(blob.key)
    except BlobUnknown:
        raise lost(blob) from None
    if described.size != blob.size:
        detail = f"the object has {described.size} bytes in place of {blob.size}"
        await services.registry.verifying.quarantine.damaged(blob.digest, described, detail, by=PULL)
        raise lost(blob)
    return described


async def _look(services: Services, blob: BlobRecord, path: str) -> os.stat_result:
    """Describe a blob's file; raise BlobUnknown unless it is there and has the blob's size.

    The server would look only when the answer's head is out.
    """
    assert services.files is not None  # there is a path
    try:
        file = await services.files.look(path)
    except OSError as error:
        _LOGGER.error("the file of blob %s cannot be read: %s", blob.digest, error.strerror)  # noqa: TRY400 - no trace
        raise lost(blob) from None
    if file.st_size != blob.size:
        described = StoredBlob(key=blob.key, size=file.st_size, inode=file.st_ino, mtime_ns=file.st_mtime_ns)
        detail = f"the file has {file.st_size} bytes in place of {blob.size}"
        await services.registry.verifying.quarantine.damaged(blob.digest, described, detail, by=PULL)
        raise lost(blob)
    return file


@lru_cache(maxsize=16_384)
def _headers(digest: Digest) -> tuple[Header, ...]:
    """Return the headers that are the same for every answer about a blob.

    Bytes of a digest never change, hence the long life in caches. They are somebody's upload, hence the sandbox.
    """
    text = str(digest).encode()
    return (
        (b"content-type", OCTET_STREAM.encode()),
        (b"docker-content-digest", text),
        (b"etag", b'"' + text + b'"'),
        (b"cache-control", b"max-age=31536000, immutable"),
        (b"accept-ranges", b"bytes"),
        PUSHED_POLICY,
        ATTACHMENT,
    )


def _redirect_headers(digest: Digest) -> tuple[Header, ...]:
    """Return the headers beside a Location, which lets in whoever has it: nobody is to keep it for others."""
    return ((b"docker-content-digest", str(digest).encode()), NO_STORE)
