"""Every page and every answer a browser can get keeps one policy (`tests/support/browser_policy.py`).

The client of these tests holds each answer against it, in all tests; here it is asked for what no other test is about:
answers of every kind of error, what somebody pushed, and that a page without the policy does not pass.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from entrepot.oci.media_type import OCI_MANIFEST
from tests.http.matrix.people import basic
from tests.http.pushing import push_blob, push_image, put_manifest
from tests.http.transport import Answer, AsgiClient
from tests.support.api import Api
from tests.support.app import App, Opener
from tests.support.browser_policy import DATA_POLICY, PAGE_POLICY, breaches
from tests.support.manifests import image

PAGE = b"<!doctype html><script>alert(document.domain)</script>"
PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(document.domain)"/>'
NOT_THERE = "sha256:" + "0" * 64
SCRIPTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<svg/onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "[x](javascript:alert(1))",
    '![x](x"onerror="alert(1))',
    "</title><script src=//evil.test/x.js></script>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "{{constructor.constructor('alert(1)')()}}",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "\u202e<script>\u202c",
)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("method", "path", "status", "headers"),
    [
        ("GET", "/", 200, {}),
        ("GET", "/nothing/here", 404, {}),
        ("GET", "/c/nothing", 404, {}),
        ("GET", "/api/v2.0/nothing", 404, {}),
        ("GET", "/v2/demo/app/manifests/none", 401, {}),
        ("GET", f"/v2/demo/app/blobs/{NOT_THERE}", 401, {}),
        ("GET", "/v2/Demo/app/tags/list", 400, {}),
        ("GET", "/api/v2.0/projects/a%252F..%252Fb", 400, {}),
        ("GET", "/%2e%2e/etc/passwd", 400, {}),
        ("GET", "/api/v2.0/projects?page=none", 422, {}),
        ("GET", "/api/v2.0/users", 401, {}),
        ("GET", "/api/v2.0/users/current", 401, {"Authorization": "Basic !"}),
        ("POST", "/c/login", 400, {}),
        ("POST", "/c/login", 403, {"Origin": "https://evil.test"}),
        ("GET", "/c/login", 405, {}),
        ("DELETE", "/v2/", 405, {}),
        ("PATCH", "/healthz", 405, {}),
        ("POST", "/api/v2.0/projects", 415, {"Content-Type": "text/html"}),
        ("GET", "/" + "x" * 9000, 414, {}),
        ("GET", "/v2/", 431, {"X-Long": "x" * 60_000}),
        ("GET", "/healthz", 400, {"Content-Length": "1", "Transfer-Encoding": "chunked"}),
    ],
)
async def test_answers_of_every_kind(
    signed_in: App, scheme: str, method: str, path: str, status: int, headers: dict[str, str]
) -> None:
    """Whatever is wrong, a browser runs nothing, guesses nothing, and keeps nothing of what is said about it."""
    body = b"<b>" if method == "POST" else None
    answer = await signed_in.client(scheme=scheme).request(method, path, headers=headers, body=body)
    if method == "POST" and path == "/c/login" and scheme == "http":
        status = 403  # the password would have travelled in the clear
    assert answer.status == status, answer.body
    if answer.body:
        assert answer["content-type"].startswith("application/json")
        assert answer["content-security-policy"] == DATA_POLICY
    if status >= 400:
        assert answer["cache-control"] == "no-store"
    assert ("strict-transport-security" in answer) == (scheme == "https" and not path.startswith("/v2"))


async def test_other_services_of_the_host_stay_reachable(signed_in: App) -> None:
    """At a port of its own the registry keeps no browser from plain http: that would hold for every port there is."""
    for host, told in (("registry.test:5000", False), ("registry.test", True)):
        answer = await signed_in.client(scheme="https", host=host).get("/")
        assert ("strict-transport-security" in answer) == told, host


@pytest.fixture
async def signed_in(open_registry: Opener) -> App:
    """Give a registry with accounts."""
    app = await open_registry(signed_in=True)
    await app.account("admin", ("*", "*"))
    return app


@pytest.mark.parametrize("files", [True, False])
@pytest.mark.parametrize("content", [PAGE, PICTURE])
async def test_what_was_pushed_is_saved_and_never_shown(open_registry: Opener, content: bytes, *, files: bool) -> None:
    """A page or picture with a script is octets to be saved, in a sandbox: all of it or a part of it."""
    app = await open_registry(files=files)
    client = app.client(scheme="https")
    digest = await push_blob(client, content, "demo/app")
    asked: list[tuple[str, dict[str, str], int]] = [
        ("GET", {}, 200),
        ("HEAD", {}, 200),
        ("GET", {"Range": "bytes=0-9"}, 206),
        ("GET", {"Accept": "text/html", "Sec-Fetch-Dest": "document"}, 200),
        ("GET", {"If-None-Match": f'"{digest}"'}, 304),
    ]
    for method, headers, status in asked:
        answer = await client.request(method, f"/v2/demo/app/blobs/{digest}", headers=headers)
        assert answer.status == status
        assert answer["content-type"] == "application/octet-stream"
        assert answer["content-disposition"] == "attachment"
        assert answer["content-security-policy"].startswith("sandbox;")
        assert answer["x-content-type-options"] == "nosniff"


async def test_a_manifest_of_any_type_but_its_own_is_refused(client: AsgiClient) -> None:
    """Nobody chooses what a browser takes a manifest for: its type is one of five, and comes with a sandbox."""
    await push_image(client, "v1", PAGE, name="demo/app")
    for kind in ("text/html", "image/svg+xml", f"{OCI_MANIFEST}; <script>", "application/xhtml+xml"):
        answer = await put_manifest(client, image(b"{}", PAGE, mediaType=kind), "v1", name="demo/app", media_type=kind)
        assert answer.status == 400
    answer = await client.get("/v2/demo/app/manifests/v1")
    assert answer["content-type"] == OCI_MANIFEST
    assert answer["content-disposition"] == "attachment"


async def test_cve_2025_32019_cve_2023_3384_what_people_write_stays_text(signed_in: App) -> None:
    """Scripts in names and descriptions come back as they were written, as JSON that no browser runs or frames."""
    api = Api(signed_in.client(headers=basic("admin", "admin"), scheme="https"))
    await push_image(api.client, "v1", b"layer", name="demo/app")
    for number, script in enumerate(SCRIPTS):
        answer = await api.put("/projects/demo/repositories/app", {"description": script})
        assert answer.status == 200, answer.body
        await api.made(
            "/labels",
            {"name": f"{number} {script if script.isprintable() else '<script>'}", "description": script, "scope": "g"},
        )
        assert (await shown(api, "/projects/demo/repositories/app"))["description"] == script
    labels = await shown(api, "/labels?scope=g&page_size=100")
    assert {each["description"] for each in labels} == set(SCRIPTS)


async def test_cve_2023_3384_labels_of_images_stay_text(signed_in: App) -> None:
    """What an image's configuration and annotations say was seen by no validator of ours; it is shown as data."""
    api = Api(signed_in.client(headers=basic("admin", "admin"), scheme="https"))
    labels = {f"label{number}": script for number, script in enumerate(SCRIPTS)}
    config = json.dumps({"architecture": "amd64", "os": "linux", "author": SCRIPTS[0], "config": {"Labels": labels}})
    for content in (config.encode(), b"layer"):
        await push_blob(api.client, content, "demo/app")
    manifest = image(config.encode(), b"layer", annotations=labels)
    assert (await put_manifest(api.client, manifest, "v1", name="demo/app")).status == 201
    artifact = await shown(api, "/projects/demo/repositories/app/artifacts/v1")
    assert artifact["annotations"] == labels
    assert artifact["extra_attrs"]["config"]["Labels"] == labels
    await shown(api, "/projects/demo/repositories/app/artifacts/v1/additions/build_history")


async def shown(api: Api, path: str) -> Any:
    """Return a document, which a browser takes for nothing but data."""
    answer = await api.get(path)
    assert answer.status == 200, answer.body
    assert answer["content-type"].startswith("application/json")
    assert answer["content-security-policy"] == DATA_POLICY
    assert answer["x-content-type-options"] == "nosniff"
    return answer.json()


#: The headers of a page that keeps the policy.
OWN = [
    ("content-type", "text/html; charset=utf-8"),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("strict-transport-security", "max-age=31536000"),
    ("content-security-policy", PAGE_POLICY),
]


def page(*more: tuple[str, str], without: str = "", body: bytes = b"<p>Hello</p>") -> Answer:
    """Make a page that keeps the policy, but for what is said."""
    headers = [header for header in OWN if header[0] != without]
    return Answer(status=200, headers=[*headers, *more], body=body)


@pytest.mark.parametrize("name", [name for name, _ in OWN])
def test_a_page_that_lacks_something_does_not_pass(name: str) -> None:
    """The check knows each part of the policy: without any one of them a page is told on."""
    assert breaches(page(), "/c/new", https=True) == []
    assert breaches(page(without=name), "/c/new", https=True) != []


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        (page(("access-control-allow-origin", "*")), "/c/new"),
        (page(("content-security-policy", "script-src *")), "/c/new"),
        (page(("set-cookie", "sid=1; Path=/; HttpOnly; SameSite=Lax; Secure")), "/c/new"),
        (page(("set-cookie", "__Host-sid=1; Path=/; SameSite=Lax; Secure")), "/c/new"),
        (page(("set-cookie", "__Host-sid=1; Path=/; HttpOnly; SameSite=None; Secure")), "/c/new"),
        (page(body=b"<script>x</script>"), "/c/new"),
        (page(body=b'<p onclick="x">'), "/c/new"),
        (Answer(200, [("content-type", "image/svg+xml"), ("x-content-type-options", "nosniff")], b"<svg/>"), "/v2/"),
        (Answer(200, [("x-content-type-options", "nosniff")], b"<svg/>"), "/v2/"),
        (Answer(200, [(k, v) for k, v in OWN if k != "content-type"], b"<svg/>"), f"/v2/a/blobs/{NOT_THERE}"),
    ],
)
def test_an_answer_with_a_hole_does_not_pass(answer: Answer, path: str) -> None:
    """Neither do scripts, cookies that others get, other sites' permission, nor types that browsers run."""
    assert breaches(answer, path, https=True) != []


async def test_a_new_page_is_held_to_the_policy() -> None:
    """The client that every route is asked with refuses an answer of a page that says nothing to browsers."""

    async def careless(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html"), (b"content-length", b"12")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<p>Hello</p>"})

    with pytest.raises(AssertionError, match="a browser may guess the type"):
        await AsgiClient(careless).get("/c/new")
