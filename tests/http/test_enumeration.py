"""Whether something exists is told to whoever may see it: status, body and time say nothing to anybody else."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable
from statistics import median

import pytest

from tests.http.pushing import push_image
from tests.http.transport import Answer, AsgiClient
from tests.support.app import App, Opener

API = "/api/v2.0"
#: Of the same length, so that a name's length says nothing either.
THERE, ABSENT = "secret-one", "absent-one"
#: Requests about a project or what is in it, with `{name}` for the project.
PROJECT_REQUESTS = (
    ("GET", "/projects/{name}"),
    ("GET", "/projects/{name}/summary"),
    ("GET", "/projects/{name}/members"),
    ("GET", "/projects/{name}/metadatas"),
    ("GET", "/projects/{name}/logs"),
    ("GET", "/projects/{name}/repositories"),
    ("GET", "/projects/{name}/repositories/app"),
    ("GET", "/projects/{name}/repositories/app/artifacts/v1"),
    ("GET", "/projects/{name}/artifacts"),
    ("PUT", "/projects/{name}"),
    ("DELETE", "/projects/{name}"),
    ("HEAD", "/projects?project_name={name}"),
)
REGISTRY_REQUESTS = (
    ("GET", "/v2/{name}/app/manifests/v1"),
    ("HEAD", "/v2/{name}/app/manifests/v1"),
    ("GET", "/v2/{name}/app/tags/list"),
    ("GET", "/v2/{name}/app/referrers/sha256:" + "0" * 64),
    ("GET", "/v2/{name}/app/blobs/sha256:" + "0" * 64),
    ("POST", "/v2/{name}/app/blobs/uploads/"),
)
#: Seconds that the medians of existing and missing names may be apart, and requests of each.
APART = 0.005
TRIES = 500


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with a project that `nobody` may not see, and people whom `nobody` may not read."""
    app = await open_registry(signed_in=True)
    admin = await app.account("admin", ("*", "*"))
    await push_image(await app.bearer(admin, f"repository:{THERE}/app:pull,push"), "v1", name=f"{THERE}/app")
    await app.account("nobody")
    await app.account("alice")
    return app


def likened(answer: Answer, name: str) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all that an answer tells, without the name that was asked for and the request's own."""
    own = ("x-request-id", "content-length")
    headers = [(key, value.replace(name, "NAME")) for key, value in answer.headers if key not in own]
    return answer.status, answer.body.replace(name.encode(), b"NAME"), headers


async def ask(client: AsgiClient, method: str, target: str) -> Answer:
    """Send a request, with an empty object where a body is due."""
    body = b"{}" if method in ("PUT", "POST") and target.startswith("/api") else None
    return await client.request(method, target, body=body, headers={"Content-Type": "application/json"} if body else {})


@pytest.mark.parametrize("who", ["anonymous", "nobody"])
@pytest.mark.parametrize(("method", "path"), [(m, API + p) for m, p in PROJECT_REQUESTS] + list(REGISTRY_REQUESTS))
async def test_cve_2019_19030_a_hidden_project_answers_as_a_missing_one(
    app: App, who: str, method: str, path: str
) -> None:
    """Status, headers and body of every request are the same to the letter, but for the name that was asked for."""
    client = app.client() if who == "anonymous" else app.basic("nobody")
    hidden = likened(await ask(client, method, path.format(name=THERE)), THERE)
    missing = likened(await ask(client, method, path.format(name=ABSENT)), ABSENT)
    assert hidden == missing
    assert hidden[0] in (401, 404)


async def test_cve_2019_3990_accounts_answer_alike(app: App) -> None:
    """Numbers of accounts and names at a sign-in: existing and missing ones cannot be told apart."""
    nobody = app.basic("nobody")
    for method, path in (
        ("GET", "/users/{}"),
        ("PUT", "/users/{}"),
        ("DELETE", "/users/{}"),
        ("GET", "/users/{}/keys"),
    ):
        there = await ask(nobody, method, API + path.format(1))
        absent = await ask(nobody, method, API + path.format(4711))
        assert (there.status, there.body.replace(b"1", b"4711")) == (absent.status, absent.body.replace(b"1", b"4711"))
        assert there.status == 403
    for path in (f"{API}/users/current", "/v2/", f"{API}/projects"):
        wrong = [await app.client(headers=basic(name, "wrong")).get(path) for name in ("alice", "absent")]
        assert likened(wrong[0], "alice") == likened(wrong[1], "absent")
        assert wrong[0].status == 401


async def test_cve_2019_19030_the_time_tells_nothing(app: App) -> None:
    """The medians of 500 requests for a hidden and a missing project are less than 5 ms apart, on the API and /v2/."""
    nobody = app.basic("nobody")
    for path in (f"{API}/projects/{{name}}", "/v2/{name}/app/manifests/v1"):

        def asking(name: str, path: str = path) -> Callable[[], Awaitable[Answer]]:
            return lambda: nobody.get(path.format(name=name))

        hidden, missing = await medians(asking(THERE), asking(ABSENT))
        assert abs(hidden - missing) < APART, (path, hidden, missing)


async def medians(
    first: Callable[[], Awaitable[Answer]], second: Callable[[], Awaitable[Answer]]
) -> tuple[float, float]:
    """Send two requests in turn, and return the median of the processor's time for each, in seconds."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(TRIES):
        for send, times in zip((first, second), taken, strict=True):
            begun = time.process_time()
            await send()
            times.append(time.process_time() - begun)
    return median(taken[0]), median(taken[1])


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header that signs in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
