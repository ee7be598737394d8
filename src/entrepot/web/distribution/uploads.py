"""`/v2/<name>/blobs/uploads/` and its sessions (end-4, end-5, end-6, end-11, end-13, end-14)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from entrepot.access.model import Principal
from entrepot.oci.digest import CANONICAL, Digest, new_hasher
from entrepot.oci.errors import BlobUploadUnknown, DigestInvalid, SizeInvalid
from entrepot.oci.ranges import parse_content_range
from entrepot.oci.reference import RepositoryName
from entrepot.registry.model import UploadSession
from entrepot.registry.uploads import new_session_id
from entrepot.web.body import RequestBody
from entrepot.web.distribution import locations
from entrepot.web.distribution.authorise import actor, authorise, authorise_upload, count_new
from entrepot.web.distribution.errors import upload_range
from entrepot.web.distribution.mounts import try_mount
from entrepot.web.http import Header, Request
from entrepot.web.responses import Response
from entrepot.web.services import Services
from entrepot.web.upload_limits import uploader


async def start_upload(request: Request, services: Services) -> Response:
    """Answer a POST: mount a blob (end-11), take one whole (end-4b), or open a session (end-4a, end-4c)."""
    name, principal = await authorise(request, services)
    await count_new(request, services, principal, name)
    mount = request.query("mount")
    if mount is not None and (mounted := await try_mount(request, services, name, principal, mount)) is not None:
        return _created(request, services, name, mounted)
    digest = request.query("digest")
    session_id = new_session_id()
    async with services.upload_limits.place(request, principal, name, session_id) as going:
        if digest is not None and mount is None:
            return await _take_whole(request, services, name, principal, Digest.parse(digest))
        session = await services.registry.uploads.start(
            name,
            principal=principal.label,
            counted_for=uploader(request, principal),
            actor=await actor(request, principal, name, services),
            algorithm=_algorithm(request),
            session_id=session_id,
        )
        going.on = True
    return Response(202, _session_headers(request, services, session))


async def get_upload(request: Request, services: Services) -> Response:
    """Answer end-13: how far the upload has come."""
    name, principal = await authorise_upload(request, services)
    session = await services.registry.uploads.status(name, request.target, principal=principal.label)
    return Response(204, _session_headers(request, services, session))


async def append_upload(request: Request, services: Services) -> Response:
    """Answer end-5: add the body, streamed or as one chunk of a known range."""
    name, principal = await authorise_upload(request, services)
    body, start = _chunk(request)
    uploads = services.registry.uploads
    async with services.upload_limits.place(request, principal, name, request.target) as going:
        session = await uploads.append(name, request.target, body, principal=principal.label, start=start)
        going.on = True
    return Response(202, _session_headers(request, services, session))


async def complete_upload(request: Request, services: Services) -> Response:
    """Answer end-6: add what the body has, and make the bytes a blob."""
    name, principal = await authorise_upload(request, services)
    digest = _wanted_digest(request)
    body, start = _chunk(request)
    async with services.upload_limits.place(request, principal, name, request.target, takes=not body.empty):
        blob = await services.registry.uploads.complete(
            name,
            request.target,
            digest,
            None if body.empty else body,
            principal=principal.label,
            actor=await actor(request, principal, name, services),
            start=start,
        )
    return _created(request, services, name, blob.digest)


async def cancel_upload(request: Request, services: Services) -> Response:
    """Answer end-14: end the session and free its space."""
    name, principal = await authorise_upload(request, services)
    async with services.upload_limits.place(request, principal, name, request.target, takes=False):
        await services.registry.uploads.cancel(name, request.target, principal=principal.label)
    return Response(204, ((b"docker-upload-uuid", request.target.encode()),))


async def _take_whole(
    request: Request, services: Services, name: RepositoryName, principal: Principal, digest: Digest
) -> Response:
    """Store a blob that came with the POST; the client knows no session, so a failure leaves none behind."""
    uploads = services.registry.uploads
    who = await actor(request, principal, name, services)
    body: AsyncIterator[bytes] = request.body
    session = await uploads.start(
        name,
        principal=principal.label,
        counted_for=uploader(request, principal),
        actor=who,
        algorithm=digest.algorithm,
    )
    try:
        await uploads.complete(name, session.id, digest, body, principal=principal.label, actor=who)
    except BaseException:
        with suppress(BlobUploadUnknown):
            await uploads.cancel(name, session.id, principal=principal.label)
        raise
    return _created(request, services, name, digest)


def _chunk(request: Request) -> tuple[RequestBody, int | None]:
    """Return the body and where it belongs, if the request says so: by a range, or by the address it was sent to.

    A request that is repeated, because its answer was lost, goes to the address of before, and must not count twice.

    Raises:
        SizeInvalid: Content-Range and Content-Length contradict each other.
        UploadRangeInvalid: Content-Range cannot be read.
    """
    body = request.body
    content_range = request.header(b"content-range")
    if content_range is None:
        return body, locations.offset_of(request)
    first, last = parse_content_range(content_range)
    length = last - first + 1
    if body.announced is None:
        body.announced = length
    elif body.announced != length:
        raise SizeInvalid(f"Content-Range spans {length} bytes, but Content-Length announces {body.announced}.")
    return body, first


def _wanted_digest(request: Request) -> Digest:
    text = request.query("digest")
    if not text:
        raise DigestInvalid("The parameter digest is missing: it must be the digest of the whole blob.")
    return Digest.parse(text)


def _algorithm(request: Request) -> str:
    algorithm = request.query("digest-algorithm") or CANONICAL
    new_hasher(algorithm)
    return algorithm


def _session_headers(request: Request, services: Services, session: UploadSession) -> list[Header]:
    headers = [
        locations.upload(request, services, session.repository, session.id, session.offset),
        upload_range(session.offset),
        (b"docker-upload-uuid", session.id.encode()),
    ]
    if services.settings.chunk_min_bytes:
        headers.append((b"oci-chunk-min-length", b"%d" % services.settings.chunk_min_bytes))
    return headers


def _created(request: Request, services: Services, name: RepositoryName, digest: Digest) -> Response:
    location = locations.blob(request, services, name, digest)
    return Response(201, (location, (b"docker-content-digest", str(digest).encode())))
