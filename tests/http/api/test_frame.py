"""What all of the API has in common: errors, bodies, paths, headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from entrepot.access.authorizer import Authorizer
from tests.http.transport import Leave
from tests.support.api import BASE, Api, refusal
from tests.support.app import App, Opener

JSON = {"Content-Type": "application/json"}


async def test_ping_and_health(anonymous: Api) -> None:
    """Whoever asks is answered."""
    ping = await anonymous.get("/ping")
    assert (ping.status, ping.body, ping["Content-Type"]) == (200, b"Pong", "text/plain; charset=utf-8")
    parts = ("core", "database", "jobservice", "registry", "storage")
    assert await anonymous.found("/health") == {
        "status": "healthy",
        "components": [{"name": name, "status": "healthy"} for name in parts],
    }


async def test_health_tells_what_is_wrong(open_registry: Opener) -> None:
    """What keeps the registry from serving is a component that is not well."""

    async def problems() -> dict[str, str]:
        return {"storagedriver_filesystem": "cannot be written", "https://example.org": "answers 500"}

    app = await open_registry(services={"readiness": problems})
    health = await Api(app.client()).found("/health")
    assert health["status"] == "unhealthy"
    failing = {part["name"]: part["error"] for part in health["components"] if part["status"] == "unhealthy"}
    assert failing == {"storage": "cannot be written", "https://example.org": "answers 500"}
    assert {part["name"] for part in health["components"]} >= {"core", "database", "registry"}


async def test_health_tells_that_the_database_does_not_answer(open_registry: Opener) -> None:
    """Of a registry whose database was closed."""
    app = await open_registry()
    client = Api(app.client())
    await app.stores.metadata.close()
    failing = [part["name"] for part in (await client.found("/health"))["components"] if "error" in part]
    assert failing == ["database"]


async def test_every_answer_has_its_headers(admin: Api) -> None:
    """Answers name their request, are kept by nobody, and are no document of another type."""
    for path, status in (("/ping", 200), ("/projects", 200), ("/nowhere", 404), ("/projects/none", 404)):
        answer = await admin.get(path)
        assert answer.status == status
        assert answer["X-Request-Id"]
        assert answer["Cache-Control"] == "no-store"
        assert answer["X-Content-Type-Options"] == "nosniff"


async def test_what_is_not_there(anonymous: Api) -> None:
    """Paths and methods that there are none of are refused in Harbor's form."""
    assert refusal(await anonymous.get("/nowhere")) == (404, "NOT_FOUND")
    answer = await anonymous.send("PATCH", "/ping")
    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer["Allow"] == "GET"
    assert refusal(await anonymous.client.get("/api/v3")) == (404, "NOT_FOUND")
    assert refusal(await anonymous.client.get("/c/nowhere")) == (404, "NOT_FOUND")


async def test_wrong_credentials(app: App) -> None:
    """A wrong password is no stranger: it is refused also where everybody may read."""
    wrong = Api(app.client(headers={"Authorization": "Basic bm86bm8="}))
    answer = await wrong.get("/projects")
    assert refusal(answer) == (401, "UNAUTHORIZED")
    assert answer["WWW-Authenticate"] == 'Basic realm="entrepot"'


async def test_a_page_gets_no_challenge(anonymous: Api) -> None:
    """A browser would open a window of its own for the password."""
    assert "WWW-Authenticate" not in await anonymous.get("/permissions", X_Requested_With="XMLHttpRequest")
    assert "WWW-Authenticate" in await anonymous.get("/permissions")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b'{"project_name":"a","project_name":"b"}', 400),
        (b'{"project_name":NaN}', 400),
        (b'{"project_name":1e999}', 400),
        (b'{"project_name":"\\ud800"}', 400),
        (b'{"project_name":"a\\u0000b"}', 400),
        (b'{"metadata":{"auto_scan\\u0000":"true"}}', 400),
        (b'{"project_name":"a\\\\u0000b"}', 400),
        (b"[" * 100 + b"]" * 100, 400),
        (b"\xff", 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"project_name":7}', 422),
        (b'{"metadata":{"a":1}}', 422),
        (b'{"metadata":[]}', 422),
    ],
)
async def test_odd_bodies_are_refused(admin: Api, body: bytes, status: int) -> None:
    """What is no JSON, or not of the form asked for, never reaches a handler."""
    answer = await admin.client.post(f"{BASE}/projects", body=body, headers=JSON)
    assert refusal(answer)[0] == status


async def test_a_parameter_holds_no_nul(admin: Api, app: App) -> None:
    """PostgreSQL cannot even be asked for it: it is refused on the way in, in queries, bodies and forms alike."""
    for path in ("/users?q=username%3Da%00b", "/search?q=%00", "/projects?name=a%00"):
        assert refusal(await admin.get(path)) == (400, "BAD_REQUEST")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await app.client(scheme="https").post("/c/login", headers=form, body=b"principal=a%00&password=b")
    assert answer.status == 400


async def test_a_body_is_json(admin: Api) -> None:
    """Other types are refused: a form of another site could send them."""
    for kind in ("text/plain", "", "multipart/form-data; boundary=x"):
        answer = await admin.client.post(
            f"{BASE}/projects", body=b'{"project_name":"a"}', headers={"Content-Type": kind}
        )
        assert refusal(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await admin.client.post(f"{BASE}/projects", body=b"project_name=a", headers=form)
    assert refusal(answer) == (422, "UNPROCESSABLE_ENTITY")


async def test_large_bodies_are_refused(admin: Api, anonymous: Api) -> None:
    """More than a mebibyte is too much, announced or not; a stranger may send less."""
    large = b" " * (1024 * 1024 + 1)
    for body in (large, iter([large[:-1], b"  "])):
        answer = await admin.client.post(f"{BASE}/projects", body=body, headers=JSON)
        assert refusal(answer) == (413, "REQUEST_ENTITY_TOO_LARGE")
    answer = await anonymous.client.post(f"{BASE}/projects", body=b" " * (64 * 1024 + 1), headers=JSON)
    assert refusal(answer)[0] == 413


async def test_a_mistake_does_not_repeat_what_was_sent(admin: Api) -> None:
    """The message says where the mistake is; the value may be a secret."""
    answer = await admin.post("/projects", {"project_name": {"password": "hunter2"}})
    assert answer.status == 422
    assert "hunter2" not in answer.body.decode()
    assert "project_name in body" in answer.json()["errors"][0]["message"]


async def test_a_client_that_leaves_is_no_fault(app: App, admin: Api) -> None:
    """Nothing is made, and nothing is logged or counted as an error of ours."""

    async def half() -> AsyncIterator[bytes]:
        yield b'{"project_name":'
        raise Leave

    answer = await admin.client.post(f"{BASE}/projects", body=half(), headers=JSON)
    assert answer.status == 0
    (family,) = [family for family in app.metrics.families() if family.name == "entrepot_http_request_seconds"]
    assert [status for _, method, status in family.series if method == "POST"] == ["499"]
    assert await admin.found("/projects") == []


async def test_what_nobody_expected_is_not_told(
    app: App, admin: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer names the request, under which the log has the rest."""

    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Authorizer, "allows", broken)
    answer = await admin.get("/configurations")
    assert refusal(answer) == (500, "UNKNOWN")
    assert "secret detail" not in answer.body.decode()
    assert any(answer["X-Request-Id"] in record.getMessage() for record in caplog.records)
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "/projects/../ping",
        "/projects/%2e%2e/ping",
        "/projects/%252e%252e",
        "/projects/a%252F..%252Fb",
        "/ping/%00",
        "/%5c",
    ],
)
async def test_paths_that_lead_elsewhere_are_refused(anonymous: Api, path: str) -> None:
    """No `.` or `..`, no control character and no backslash, however it is encoded."""
    answer = await anonymous.get(path)
    assert answer.status in (400, 401, 404), path
    assert b"Pong" not in answer.body


async def test_a_prefix_comes_before_the_api(open_registry: Opener) -> None:
    """With `http.prefix` the API is below it, its Locations too."""
    app = await open_registry(signed_in=True, web={"prefix": "/registry/"})
    await app.account("admin", ("*", "*"))
    client = app.basic("admin")
    made = await client.post(f"/registry{BASE}/projects", body=b'{"project_name":"demo"}', headers=JSON)
    assert (made.status, made["Location"]) == (201, "/registry/api/v2.0/projects/1")
    listed = await client.get(f"/registry{BASE}/projects?page_size=1&page=2")
    assert listed["Link"].startswith("</registry/api/v2.0/projects?page=1")
    assert (await client.get(f"{BASE}/ping")).status == 404


async def test_many_first_requests_build_it_once(app: App) -> None:
    """Requests that come while it is built wait for it."""
    answers = await asyncio.gather(*(Api(app.client()).get("/ping") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}


async def test_requests_are_counted_by_route(app: App, admin: Api) -> None:
    """Metrics know the pattern of the path, not each path."""
    await admin.get("/projects/absent")
    await admin.get("/nowhere")
    (family,) = [family for family in app.metrics.families() if family.name == "entrepot_http_request_seconds"]
    routes = {labels[0] for labels in family.series}
    assert "api /projects/{project_name_or_id}" in routes
    assert not [route for route in routes if "absent" in route or "nowhere" in route]
