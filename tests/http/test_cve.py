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


@pytest.mark.parametrize(
    "path",
    [
        "/%2F%2F%2F%2F%2F%2F%2F..%2F..%2F..%2F..%2F..%2F..%2F../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/static/../../etc/passwd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/docs/..%5c..%5cetc%5cpasswd",
        "/c/..%252f..%252fetc/passwd",
        "/c/%2e%2e%2fconfig.yml",
        "/api/v2.0/..%2f..%2fadmin-password",
        "/api/v2.0/%c0%ae%c0%ae/admin-password",
        "/v2/..%2f..%2fentrepot/metadata.db",
        "//etc/passwd",
        "/%00/etc/passwd",
        "/.git/config",
        "/admin-password",
        "/entrepot/metadata.db",
    ],
)
async def test_cve_2024_4956_cve_2023_29159_no_path_is_a_file(client: AsgiClient, path: str) -> None:
    """No route serves files by their names: whatever is encoded how, the answer is an error without a byte of one."""
    for method in ("GET", "HEAD"):
        answer = await client.request(method, path)
        assert answer.status in (400, 404), answer.body
        assert answer.files == answer.parts == []
        assert method == "HEAD" or answer["content-type"].startswith("application/json")


async def test_cve_2025_62727_a_range_of_many_parts_is_all_of_the_blob(client: AsgiClient) -> None:
    """Ten thousand parts, which others merge pair by pair, are not even counted; so are ranges that are none."""
    content = b"layer" * 100
    digest = await push_blob(client, content)
    for value in (
        "bytes=" + ",".join(f"{n}-{n + 1}" for n in range(4_000)),
        "bytes=" + "0-" * 10_000,
        "bytes=" + "-" * 9,
    ):
        answer = await client.get(f"/v2/{NAME}/blobs/{digest}", headers={"Range": value})
        assert (answer.status, answer.body) == (200, content)


async def test_cve_2023_30798_no_form_of_many_parts_is_read(client: AsgiClient) -> None:
    """A multipart body is refused by its type, before any of its fields is looked for."""
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await client.post("/api/v2.0/projects", headers=headers, body=part * 900)).status == 415
    assert (await client.post("/c/login", headers=headers, body=part * 100)).status in (400, 403, 415)


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/_catalog", "/api/v2.0/projects", "/api/v2.0/users/current", "/c/login", "/"]
)
async def test_zot_3980_no_other_site_is_let_in(client: AsgiClient, method: str, path: str) -> None:
    """No answer lets pages of another origin read it, with credentials or without, nor promises to when it is asked."""
    headers = {"Origin": "https://evil.test", "Access-Control-Request-Method": method, "Cookie": "sid=x"}
    answer = await client.request(method, path, headers=headers)
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


async def test_zot_3977_zot_3978_bodies_have_limits(client: AsgiClient) -> None:
    """A manifest, an API key's description or a form that never ends is refused when its limit is reached."""
    endless = (b" " * 65_536 for _ in range(1_000))
    kind = {"Content-Type": media_types.OCI_MANIFEST}
    assert (await client.put(f"/v2/{NAME}/manifests/v1", headers=kind, body=endless)).status == 413
    endless = (b" " * 65_536 for _ in range(1_000))
    document = {"Content-Type": "application/json"}
    assert (await client.post("/api/v2.0/users/current/keys", headers=document, body=endless)).status == 413
