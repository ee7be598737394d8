"""`/v2/<name>/blobs/<digest>` (end-2, end-10). Bytes of whole blobs are sent by the server, not by Python."""

from __future__ import annotations

import logging
import os
from functools import lru_cache

from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.oci.media_type import OCTET_STREAM
from entrepot.oci.negotiation import matches_etag
from entrepot.oci.ranges import ByteRange, parse_range
from entrepot.registry.model import BlobRecord
from entrepot.web.distribution.authorise import actor, authorise
from entrepot.web.http import Header, Request
from entrepot.web.responses import BytesResponse, FileResponse, HeadResponse, Response, StreamResponse
from entrepot.web.services import Services

_LOGGER = logging.getLogger(__name__)


async def get_blob(request: Request, services: Services) -> Response:
    """Answer end-2 for GET: the blob, or the part of it that the Range header asks for."""
    name, _ = await authorise(request, services)
    digest = Digest.parse(request.target)
    blob = await services.registry.blobs.get(name, digest)
    if matches_etag(request.header(b"if-none-match"), digest):
        return Response(304, _headers(digest))
    part = _part(request, blob)
    if part is None:
        return await _bytes(request, services, blob, ByteRange(0, blob.size), 200, _headers(digest))
    content_range = b"bytes %d-%d/%d" % (part.start, part.last, blob.size)
    return await _bytes(request, services, blob, part, 206, (*_headers(digest), (b"content-range", content_range)))


async def head_blob(request: Request, services: Services) -> Response:
    """Answer end-2 for HEAD.

    Clients skip pushing what this says is there. So it renews the grace of a queued blob, and looks at the file: a push
    heals a blob that was lost only if the client is made to push it.
    """
    name, _ = await authorise(request, services)
    digest = Digest.parse(request.target)
    blob = await services.registry.blobs.stat(name, digest)
    if services.files is not None:
        _check_file(str(services.files.path(blob.key)), blob)
    if matches_etag(request.header(b"if-none-match"), digest):
        return Response(304, _headers(digest))
    return HeadResponse(200, _headers(digest), blob.size)


async def delete_blob(request: Request, services: Services) -> Response:
    """Answer end-10."""
    name, principal = await authorise(request, services)
    digest = Digest.parse(request.target)
    await services.registry.blobs.delete(name, digest, actor=await actor(request, principal, name, services))
    return Response(202)


def _part(request: Request, blob: BlobRecord) -> ByteRange | None:
    """Return the part to send, None for all of it; `If-Range` must name this blob for a range to count."""
    wanted = request.header(b"range")
    if wanted is None:
        return None
    condition = request.header(b"if-range")
    if condition is not None and not matches_etag(condition, blob.digest):
        return None
    return parse_range(wanted, blob.size)


async def _bytes(
    request: Request, services: Services, blob: BlobRecord, part: ByteRange, status: int, headers: tuple[Header, ...]
) -> Response:
    """Send a part of a blob, which is in memory if it is small.

    All of a larger one, also when asked for as `bytes=0-`, goes by the server's file path.
    """
    content = await services.registry.small_blobs.content(blob)
    if content is not None:
        return BytesResponse(status, headers, content[part.start : part.start + part.length])
    if part.length == blob.size and services.files is not None and request.can_send_files:
        path = str(services.files.path(blob.key))
        _check_file(path, blob)
        return FileResponse(status, headers, path, blob.size)
    pieces = services.store.stream(blob.key, part.start, part.length)
    return StreamResponse(status, headers, pieces, part.length)


def _check_file(path: str, blob: BlobRecord) -> None:
    """Raise BlobUnknown unless the file is there and whole: the server looks only when the answer's head is out."""
    try:
        size = os.stat(path).st_size  # noqa: PTH116 - a Path costs more than the call itself, on every pull
    except OSError as error:
        size = -1
        _LOGGER.error("the file of blob %s cannot be read: %s", blob.digest, error.strerror)  # noqa: TRY400 - no trace
    if size != blob.size:
        if size >= 0:
            _LOGGER.error("the file of blob %s has %d bytes in place of %d", blob.digest, size, blob.size)
        raise BlobUnknown(
            "The registry has lost the bytes of this blob; push it again.", detail={"digest": str(blob.digest)}
        )


@lru_cache(maxsize=16_384)
def _headers(digest: Digest) -> tuple[Header, ...]:
    """Return the headers that are the same for every answer about a blob.

    Bytes of a digest never change, hence the long life in caches. They are somebody's upload, hence the sandbox: no
    browser is to run them under our name.
    """
    text = str(digest).encode()
    return (
        (b"content-type", OCTET_STREAM.encode()),
        (b"docker-content-digest", text),
        (b"etag", b'"' + text + b'"'),
        (b"cache-control", b"max-age=31536000"),
        (b"accept-ranges", b"bytes"),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
    )
