"""Addresses that answers tell clients."""

from __future__ import annotations

from typing import Final

from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadInvalid
from entrepot.oci.reference import RepositoryName
from entrepot.web.http import Header, Request
from entrepot.web.services import Services

_STATE: Final = "_state"
_MAX_DIGITS: Final = 19


def own_address(request: Request, services: Services) -> str:
    """Return the start of every URL of this registry; only `http.prefix` when URLs are to be relative."""
    prefix = services.settings.prefix.rstrip("/")
    if services.settings.relative_urls:
        return prefix
    return services.proxies.origin(request) + prefix


def manifest(request: Request, services: Services, name: RepositoryName, digest: Digest) -> Header:
    """Return the Location of a manifest."""
    return _location(request, services, f"/v2/{name}/manifests/{digest}")


def blob(request: Request, services: Services, name: RepositoryName, digest: Digest) -> Header:
    """Return the Location of a blob."""
    return _location(request, services, f"/v2/{name}/blobs/{digest}")


def upload(request: Request, services: Services, name: str, session_id: str, offset: int) -> Header:
    """Return the Location of an upload session that stands at this offset.

    The parameter has registry:2's name for it, so clients know to keep it.
    """
    return _location(request, services, f"/v2/{name}/blobs/uploads/{session_id}?{_STATE}={offset}")


def offset_of(request: Request) -> int | None:
    """Return where the upload stood when it gave out the address that this request was sent to, if that says it.

    Raises:
        BlobUploadInvalid: What stands there was not written by us.
    """
    text = request.query(_STATE)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > _MAX_DIGITS:
        raise BlobUploadInvalid(f"the parameter {_STATE} is not as it was given out in Location; send it unchanged")
    return int(text)


def _location(request: Request, services: Services, path: str) -> Header:
    return (b"location", (own_address(request, services) + path).encode("latin-1"))
