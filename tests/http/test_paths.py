"""Paths: what is routed where, and what is refused before it is."""

from ipaddress import ip_network

import pytest

from tests.http.pushing import push_blob, push_image
from tests.http.transport import AsgiClient
from tests.support.app import App, Opener

TRAVERSAL = [
    "/v2/../v2/",
    "/v2/a/../b/tags/list",
    "/v2/a/./b/tags/list",
    "/v2/a%2fb/tags/list",
    "/v2/a%2Fb/manifests/latest",
    "/v2/a/manifests/..%2f..%2fetc",
    "/v2/a/manifests/%2e%2e",
    "/v2/a/blobs/uploads/..%2fx",
    "/v2/a/blobs/uploads/%2e%2e",
    "/v2/a/blobs/..",
    "/v2/a/manifests/x%00y",
    "/v2/a/manifests/%",
    "/v2/a/manifests/%4",
    "/v2/a/manifests/%zz",
    "/v2/a/manifests/%25",
    "/v2/a/manifests/a%5cb",
    "/v2/a/manifests/a\\b",
    "/v2/a/manifests/a\x7f",
    "/v2/a/manifests/\xff\xfe",
    "/v2/a/manifests/%ff",
    "/v2/a/manifests/%c0%ae%c0%ae",
    "/v2/a%20b/tags/list",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_cve_2014_9358_odd_paths_are_refused(client: AsgiClient, method: str) -> None:
    """Parts that lead elsewhere, encoded separators, NUL and broken encodings are 400 or 404."""
    for path in TRAVERSAL:
        answer = await client.request(method, path, body=b"")
        assert answer.status in (400, 404), path
        assert method == "HEAD" or answer.codes, path


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("//v2/", "/v2/"),
        ("//v2/_catalog?n=1", "/v2/_catalog?n=1"),
        ("/v2/_catalog/", "/v2/_catalog"),
        ("///v2///_catalog", "/v2/_catalog"),
        ("/v2//team/app/tags/list", "/v2/team/app/tags/list"),
        ("/v2/team/app//tags/list/?x=//y", "/v2/team/app/tags/list?x=//y"),
        ("/v2/team/app/manifests/x/", "/v2/team/app/manifests/x"),
        ("/v2/team/app/blobs/uploads//", "/v2/team/app/blobs/uploads/"),
        ("/v2/team/app/blobs/uploads/x/", "/v2/team/app/blobs/uploads/x"),
    ],
)
async def test_slashes_too_many_lead_to_the_right_path(client: AsgiClient, path: str, right: str) -> None:
    """As with registry:2, doubled and trailing slashes are answered by 301, whatever the method."""
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        answer = await client.request(method, path, body=b"x" if method in ("PUT", "POST") else b"")
        assert (answer.status, answer["Location"]) == (301, right)


@pytest.mark.parametrize(
    "path", ["//nothing", "//evil.test/v2/", "/v2/nothing/", "/nothing/", "//evil.test//v2/_catalog"]
)
async def test_slashes_lead_nowhere_else(client: AsgiClient, path: str) -> None:
    """What is nothing without the slashes either is 404; nobody is led to another host."""
    assert (await client.get(path)).status == 404


async def test_options_as_registry2_answers_it(open_registry: Opener) -> None:
    """A browser that asks on behalf of a page elsewhere is told the methods and `http.headers`, without a login."""
    allowed = (("Access-Control-Max-Age", "60"), ("Access-Control-Allow-Methods", "GET"))
    app = await open_registry(signed_in=True, web={"headers": allowed})
    asked = {"Origin": "http://ui.test", "Access-Control-Request-Method": "GET"}
    for path, methods in (
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/team/app/manifests/latest", "DELETE, GET, HEAD, PUT"),
        (f"/v2/team/app/blobs/sha256:{'0' * 64}", "DELETE, GET, HEAD"),
        ("/v2/team/app/tags/list", "GET, HEAD"),
    ):
        answer = await app.client().request("OPTIONS", path, headers=asked)
        assert (answer.status, answer.body, answer["Allow"]) == (200, b"", methods)
        assert (answer["Access-Control-Allow-Methods"], answer["Access-Control-Max-Age"]) == ("GET", "60")
    assert (await app.client().request("OPTIONS", "/v2/nothing")).status == 404


@pytest.mark.parametrize(
    "name", ["manifests", "blobs/uploads", "tags/list", "a/blobs", "tags", "referrers/x", "uploads"]
)
async def test_names_made_of_the_protocols_words(client: AsgiClient, name: str) -> None:
    """A repository may be called like a part of the API."""
    body = await push_image(client, "latest", b"layer", name=name)
    assert (await client.get(f"/v2/{name}/manifests/latest")).body == body
    assert (await client.get(f"/v2/{name}/tags/list")).json()["tags"] == ["latest"]
    digest = await push_blob(client, b"more", name)
    assert (await client.get(f"/v2/{name}/blobs/{digest}")).body == b"more"


async def test_the_longest_name(client: AsgiClient) -> None:
    """255 characters are a name, 256 are NAME_INVALID."""
    await push_image(client, "v1", name="a" * 255)
    answer = await client.post(f"/v2/{'a' * 256}/blobs/uploads/")
    assert (answer.status, answer.codes) == (400, ["NAME_INVALID"])


async def test_uploads_without_the_last_slash(client: AsgiClient) -> None:
    """`blobs/uploads` means the same as `blobs/uploads/`."""
    assert (await client.post("/v2/a/blobs/uploads")).status == 202


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "http://registry.test"),
        ({"X-Forwarded-Proto": "https"}, "https://registry.test"),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example:8443"}, "https://hub.example:8443"),
        ({"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "a.example, b.example"}, "https://a.example"),
        ({"Forwarded": "for=192.0.2.1;proto=https;host=f.example", "X-Forwarded-Host": "x"}, "https://f.example"),
        ({"Forwarded": 'proto="https";host="f.example:444"'}, "https://f.example:444"),
        ({"Forwarded": "host=f.example, host=g.example"}, "http://f.example"),
        ({"X-Forwarded-Host": "bad host"}, ""),
        ({"X-Forwarded-Host": 'a"><script>'}, ""),
        ({"X-Forwarded-Proto": "javascript"}, ""),
    ],
)
async def test_our_address_behind_a_proxy(client: AsgiClient, headers: dict[str, str], expected: str) -> None:
    """`Forwarded` beats `X-Forwarded-…`; what is no host is not reflected, and the Location becomes relative."""
    answer = await client.post("/v2/team/app/blobs/uploads/", headers=headers)
    assert answer["Location"].startswith(expected + "/v2/team/app/")


async def test_only_trusted_proxies_are_believed(open_registry: Opener) -> None:
    """With `http.trustedproxies`, nobody else says where we are."""
    app: App = await open_registry(web={"trusted_proxies": (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))})
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example"}
    for address, expected in (
        ("10.1.2.3", "https://hub.example"),
        ("fd00::1", "https://hub.example"),
        ("::ffff:10.1.2.3", "https://hub.example"),
        ("192.0.2.1", "http://registry.test"),
        ("::1", "http://registry.test"),
    ):
        answer = await app.client(address=address).post("/v2/a/blobs/uploads/", headers=headers)
        assert answer["Location"].startswith(expected), address


async def test_the_configured_host_beats_everything(open_registry: Opener) -> None:
    """`http.host` is the address, whatever a request says."""
    client = (await open_registry(web={"host": "https://registry.example:5000/"})).client()
    headers = {"Forwarded": "proto=http;host=evil.example", "X-Forwarded-Host": "evil.example"}
    answer = await client.post("/v2/a/blobs/uploads/", headers=headers)
    assert answer["Location"].startswith("https://registry.example:5000/v2/a/blobs/uploads/")
