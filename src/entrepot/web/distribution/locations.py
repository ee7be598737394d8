"""Addresses that answers tell clients."""

from __future__ import annotations

from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName
from entrepot.web.http import Header, Request
from entrepot.web.services import Services


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


def upload(request: Request, services: Services, name: str, session_id: str) -> Header:
    """Return the Location of an upload session."""
    return _location(request, services, f"/v2/{name}/blobs/uploads/{session_id}")


def _location(request: Request, services: Services, path: str) -> Header:
    return (b"location", (own_address(request, services) + path).encode("latin-1"))
