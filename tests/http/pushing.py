"""Pushing through the API, the way clients do."""

from __future__ import annotations

from entrepot.oci import media_type as media_types
from tests.http.transport import Answer, AsgiClient
from tests.support.manifests import digest_of, image

NAME = "team/app"


async def push_blob(client: AsgiClient, content: bytes, name: str = NAME, algorithm: str = "sha256") -> str:
    """Push a blob in one request and return its digest."""
    digest = digest_of(content, algorithm)
    answer = await client.post(f"/v2/{name}/blobs/uploads/?digest={digest}", body=content)
    assert answer.status == 201, (answer.status, answer.body)
    return digest


async def start_upload(client: AsgiClient, name: str = NAME, query: str = "") -> str:
    """Open an upload session and return its address, without the state in a Location: it is good at any offset."""
    answer = await client.post(f"/v2/{name}/blobs/uploads/{query}")
    assert answer.status == 202, (answer.status, answer.body)
    return answer["Location"].partition("?")[0]


async def put_manifest(
    client: AsgiClient, body: bytes, reference: str, *, name: str = NAME, media_type: str = media_types.OCI_MANIFEST
) -> Answer:
    """Push a manifest and return the answer, whatever it is."""
    return await client.put(f"/v2/{name}/manifests/{reference}", headers={"Content-Type": media_type}, body=body)


async def push_image(client: AsgiClient, tag: str, *layers: bytes, name: str = NAME, **more: object) -> bytes:
    """Push an image with its blobs and return its manifest."""
    for content in (b"{}", *layers):
        await push_blob(client, content, name)
    body = image(b"{}", *layers, **more)
    answer = await put_manifest(client, body, tag, name=name)
    assert answer.status == 201, (answer.status, answer.body)
    return body
