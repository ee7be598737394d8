"""`/v2/<name>/referrers/<digest>` (end-12a, end-12b)."""

from __future__ import annotations

from entrepot.oci.digest import Digest
from entrepot.oci.media_type import OCI_INDEX
from entrepot.oci.referrers import render_index
from entrepot.web.distribution.authorise import authorise
from entrepot.web.distribution.pagination import continue_after, next_link, page_size
from entrepot.web.http import Header, Request
from entrepot.web.responses import DATA_POLICY, NO_STORE, BytesResponse, Response
from entrepot.web.services import Services


async def list_referrers(request: Request, services: Services) -> Response:
    """Answer end-12: an index of what refers to a manifest, empty when nothing does or nobody knows the manifest."""
    name, _ = await authorise(request, services)
    digest = Digest.parse(request.target)
    artifact_type = request.query("artifactType") or None
    most = services.settings.referrers_max
    size = page_size(request, default=most, most=most, clamp=True) or 1
    found, following = await services.registry.referrers.list(
        name, digest, artifact_type=artifact_type, limit=size, last=continue_after(request)
    )
    headers: list[Header] = [(b"content-type", OCI_INDEX.encode()), DATA_POLICY, NO_STORE]
    parameters: dict[str, str | int] = {"n": size}
    if artifact_type is not None:
        headers.append((b"oci-filters-applied", b"artifactType"))
        parameters["artifactType"] = artifact_type
    if following is not None:
        path = f"/v2/{name}/referrers/{digest}"
        headers.append(next_link(services, path, last=following, **parameters))
    return BytesResponse(200, headers, render_index(found))
