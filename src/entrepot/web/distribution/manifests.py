"""`/v2/<name>/manifests/<reference>` (end-3, end-7, end-9)."""

from __future__ import annotations

from functools import lru_cache, partial

from entrepot.access.model import Principal
from entrepot.metadata.events import Source
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestTooLarge, ManifestUnknown, TagInvalid, UriTooLong
from entrepot.oci.negotiation import accepts, matches_etag
from entrepot.oci.reference import Reference, Tag, parse_reference
from entrepot.registry.model import StoredManifest
from entrepot.web.body import BodyTooLarge
from entrepot.web.distribution import locations
from entrepot.web.distribution.authorise import actor, authorise, count_new
from entrepot.web.distribution.warnings import warn
from entrepot.web.http import Header, Repeatable, Request
from entrepot.web.responses import ATTACHMENT, PUSHED_POLICY, BytesResponse, HeadResponse, Response
from entrepot.web.services import Services


async def get_manifest(request: Request, services: Services) -> Response:
    """Answer end-3 for GET: the bytes as they were pushed."""
    name, principal = await authorise(request, services, tags=_tags_of_path(request))
    manifest = await services.registry.manifests.get(name, _pull_reference(request), content=True)
    services.count_pull(manifest.id)
    is_still = partial(services.registry.manifests.is_still, name, _pull_reference(request), manifest)
    request.repeatable = Repeatable(manifest_id=manifest.id, is_still=is_still) if manifest.settled else None
    if services.pull_log is not None:
        services.pull_log.note(_source(request, principal), str(name), str(manifest.digest), *_tags_of_path(request))
    headers = _headers(manifest.digest, manifest.media_type, _life(request, principal))
    if matches_etag(request.header(b"if-none-match"), manifest.digest):
        return Response(304, headers)
    _note_unexpected_type(request, manifest)
    assert manifest.content is not None  # it was asked for
    return BytesResponse(200, headers, manifest.content)


def _source(request: Request, principal: Principal) -> Source:
    return Source(name=principal.name, address=request.client, credential=principal.credential, request=request.id)


async def head_manifest(request: Request, services: Services) -> Response:
    """Answer end-3 for HEAD."""
    name, principal = await authorise(request, services, tags=_tags_of_path(request))
    manifest = await services.registry.manifests.get(name, _pull_reference(request), content=False)
    is_still = partial(services.registry.manifests.is_still, name, _pull_reference(request), manifest)
    request.repeatable = Repeatable(is_still=is_still) if manifest.settled else None
    headers = _headers(manifest.digest, manifest.media_type, _life(request, principal))
    if matches_etag(request.header(b"if-none-match"), manifest.digest):
        return Response(304, headers)
    return HeadResponse(200, headers, manifest.size)


async def put_manifest(request: Request, services: Services) -> Response:
    """Answer end-7a and end-7b: store a manifest, and point the tag of the path and those of `?tag=` at it."""
    most = services.registry.manifests.settings.max_tags_per_push
    tags = (*_tags_of_path(request), *request.query_values("tag")[:most])
    name, principal = await authorise(request, services, tags=tags)
    await count_new(request, services, principal, name)
    reference = parse_reference(request.target)
    more_tags = _more_tags(request, most)
    body = await _read(request, services.registry.manifests.settings.max_manifest_bytes)
    result = await services.registry.manifests.put(
        name,
        reference,
        request.header(b"content-type"),
        body,
        tags=more_tags,
        actor=await actor(request, principal, name, services),
    )
    headers = [
        locations.manifest(request, services, name, result.digest),
        (b"docker-content-digest", str(result.digest).encode()),
    ]
    if result.subject is not None:
        headers.append((b"oci-subject", str(result.subject).encode()))
    if result.warning is not None:
        warn(request, result.warning)
    if more_tags:
        headers.extend((b"oci-tag", tag.encode()) for tag in result.tags)
    return Response(201, headers)


async def delete_manifest(request: Request, services: Services) -> Response:
    """Answer end-9: remove a tag, or a manifest with all its tags."""
    name, principal = await authorise(request, services, tags=_tags_of_path(request))
    reference = _pull_reference(request)
    await services.registry.manifests.delete(name, reference, actor=await actor(request, principal, name, services))
    return Response(202)


def _tags_of_path(request: Request) -> tuple[str, ...]:
    """Return the tag that the path names, for whom rights end at tags; a digest has a colon."""
    return () if ":" in request.target else (request.target,)


def _pull_reference(request: Request) -> Reference:
    """Return the reference of the path; what cannot be a tag is one that nobody has."""
    try:
        return parse_reference(request.target)
    except TagInvalid as error:
        raise ManifestUnknown(detail={"name": request.name, "reference": request.target[:128]}) from error


def _more_tags(request: Request, most: int) -> list[Tag]:
    texts = request.query_values("tag")
    if len(texts) > most:
        raise UriTooLong(f"At most {most} tags can be set by one push; this one names {len(texts)}.")
    return [Tag.parse(text) for text in texts]


async def _read(request: Request, most: int) -> bytes:
    try:
        return await request.body.read(most)
    except BodyTooLarge:
        raise ManifestTooLarge(f"A manifest may have at most {most} bytes; this one has more.") from None


def _note_unexpected_type(request: Request, manifest: StoredManifest) -> None:
    """Warn a client that did not list the manifest's type in Accept; it gets the manifest all the same.

    registry:2 answers 404 MANIFEST_UNKNOWN there, or converts a list into its linux/amd64 entry. Neither helps: the
    manifest is known, and bytes that differ from the tag's digest break every client that verifies. A client that
    cannot use the type says so better than "unknown" would.
    """
    accept = tuple(request.header_values(b"accept"))
    if accept and not accepts(accept, manifest.media_type):
        warn(request, f"The manifest is of type {manifest.media_type}, which the Accept header does not list.")


def _life(request: Request, principal: Principal) -> bytes:
    """Say how long an answer may be kept, and by whom: the bytes of a digest never change, what a tag names does."""
    if ":" not in request.target:
        return b"no-cache"
    return b"max-age=31536000, immutable" if principal.is_anonymous else b"private, max-age=31536000, immutable"


@lru_cache(maxsize=16_384)
def _headers(digest: Digest, media_type: str, life: bytes) -> tuple[Header, ...]:
    """Return the headers that are the same for every answer about a manifest."""
    text = str(digest).encode()
    return (
        (b"content-type", media_type.encode("latin-1")),
        (b"docker-content-digest", text),
        (b"etag", b'"' + text + b'"'),
        (b"cache-control", life),
        PUSHED_POLICY,
        ATTACHMENT,
    )
