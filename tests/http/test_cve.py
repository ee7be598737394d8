"""Published faults of other registries, one test each, where none stands beside what it is about."""

from __future__ import annotations

import json

import pytest

from entrepot.oci import media_type as media_types
from tests.http.pushing import NAME, push_blob, put_manifest, start_upload
from tests.http.transport import AsgiClient
from tests.support.manifests import digest_of, image


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_cve_2014_8178_bytes_that_miss_their_digest_are_never_stored(client: AsgiClient, algorithm: str) -> None:
    """A blob whose bytes have another digest is refused, under that digest and under its own."""
    claimed, sent = digest_of(b"claimed", algorithm), b"sent"
    answer = await client.post(f"/v2/{NAME}/blobs/uploads/?digest={claimed}", body=sent)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    location = await start_upload(client)
    answer = await client.put(f"{location}?digest={claimed}", body=sent)
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    for digest in (claimed, digest_of(sent, algorithm)):
        assert (await client.get(f"/v2/{NAME}/blobs/{digest}")).status == 404


async def test_cve_2014_8179_a_manifest_is_what_its_digest_says(client: AsgiClient) -> None:
    """Two spaces more are another manifest: refused under the old digest; what is stored is served byte by byte."""
    body = image(b"{}", b"layer")
    for blob in (b"{}", b"layer"):
        await push_blob(client, blob)
    path = f"/v2/{NAME}/manifests/{digest_of(body)}"
    headers = {"Content-Type": media_types.OCI_MANIFEST}
    answer = await client.put(path, headers=headers, body=body + b"  ")
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert (await client.get(path)).status == 404
    assert (await client.put(path, headers=headers, body=body)).status == 201
    assert (await client.get(path)).body == body


async def test_cve_2021_41190_the_type_stored_is_the_type_served(client: AsgiClient) -> None:
    """Whatever a client would rather accept, or says when it pushes the same bytes again, the type stays."""
    body = image(b"{}", b"layer")
    for blob in (b"{}", b"layer"):
        await push_blob(client, blob)
    assert (await put_manifest(client, body, "latest")).status == 201
    answer = await client.put(
        f"/v2/{NAME}/manifests/latest", headers={"Content-Type": media_types.OCI_INDEX}, body=body
    )
    assert answer.status == 400
    for accept in (media_types.OCI_MANIFEST, "*/*", f"{media_types.OCI_INDEX}, {media_types.OCI_MANIFEST}"):
        served = await client.get(f"/v2/{NAME}/manifests/latest", headers={"Accept": accept})
        assert (served.status, served["Content-Type"]) == (200, media_types.OCI_MANIFEST)


async def test_cve_2023_2253_page_sizes_of_every_list(client: AsgiClient) -> None:
    """No list makes room for as many entries as a client names: it is refused, or gets what there is."""
    body = image(b"{}", b"layer")
    for blob in (b"{}", b"layer"):
        await push_blob(client, blob)
    await put_manifest(client, body, "latest")
    lists = ("/v2/_catalog", f"/v2/{NAME}/tags/list", f"/v2/{NAME}/referrers/{digest_of(body)}")
    for path in lists:
        for size in ("0", "-1", str(2**31), str(10**18), "abc", "1e3", "%EF%BC%91"):
            answer = await client.get(f"{path}?n={size}")
            assert answer.status in (200, 400), (path, size)
            assert answer.status == 200 or answer.codes == ["PAGINATION_NUMBER_INVALID"], (path, size)
            assert len(json.dumps(answer.json())) < 1000
