"""Too many requests are refused with 429, and every answer says how the client stands."""

from __future__ import annotations

import asyncio
import json
import re

from tests.http.pushing import push_image, put_manifest
from tests.http.transport import Answer, AsgiClient
from tests.support.access_modes import basic
from tests.support.app import App, Opener
from tests.support.manifests import index

TAGS = "/v2/team/app/tags/list"
COPY = "/api/v2.0/projects/team/repositories/{to}/artifacts?from=team/one:v2"


async def registry(open_registry: Opener, **rates: str) -> App:
    """Run a registry with accounts and these limits."""
    app = await open_registry(signed_in=True, rates=rates)
    for name in ("alice", "bob"):
        await app.account(name, ("project:team", "pull,push"), ("project:other", "pull,push"))
    return app


def client(app: App, name: str = "alice", address: str = "192.0.2.7") -> AsgiClient:
    """Return a client of somebody at an address."""
    return app.client(headers=basic(name, name), address=address)


async def statuses(client: AsgiClient, *targets: str) -> list[int]:
    """Send GETs one after the other."""
    return [(await client.get(target)).status for target in targets]


def standing(answer: Answer, kind: str) -> tuple[int, int, int, int]:
    """Return limit, span, what is left and the seconds until the span ends, as the headers say."""
    policy = re.search(rf'"{kind}";q=(\d+)(?:;qu="content-bytes")?;w=(\d+)', answer["RateLimit-Policy"])
    now = re.search(rf'"{kind}";r=(\d+);t=(\d+)', answer["RateLimit"])
    assert policy is not None
    assert now is not None
    limit, span, left, reset = (int(text) for text in (*policy.groups(), *now.groups()))
    return limit, span, left, reset


async def test_an_address_has_so_many_requests(open_registry: Opener) -> None:
    """Right and wrong ones, on every path; the one too many is refused, with when to come again."""
    app = await registry(open_registry, address="3/hour")
    here = client(app)
    first = await here.get("/v2/")
    assert standing(first, "address")[:3] == (3, 3600, 2)
    assert (await here.get("/nothing")).status == 404
    assert (await here.get("/api/v2.0/users/current")).status == 200
    refused = await here.get("/v2/")
    assert refused.status == 429
    limit, _, left, reset = standing(refused, "address")
    assert (limit, left) == (3, 0)
    assert 0 < int(refused["Retry-After"]) == reset <= 3600
    assert "3 requests in 3600 s of one address" in json.loads(refused.body)["errors"][0]["message"]
    assert (await client(app, address="192.0.2.8").get("/v2/")).status == 200


async def test_whoever_watches_gets_an_answer(open_registry: Opener) -> None:
    """Health and readiness are never refused, nor is the registry's own machine, unlike whom a proxy on it hides."""
    app = await registry(open_registry, address="1/hour")
    assert await statuses(client(app), *["/healthz", "/readyz"] * 5) == [200] * 10
    here = AsgiClient(app.application, headers=basic("alice", "alice"), address="127.0.0.1", host="localhost:5000")
    assert await statuses(here, *["/v2/"] * 5) == [200] * 5
    assert await statuses(client(app, address="127.0.0.1"), *["/v2/"] * 2) == [200, 429]


async def test_an_account_has_so_many_requests(open_registry: Opener) -> None:
    """From wherever it asks, by either API; what is refused for lack of a right does not count, others go on."""
    app = await registry(open_registry, principal="3/hour")
    alice = client(app)
    assert await statuses(alice, "/v2/secret/app/tags/list") == [401]
    assert await statuses(alice, TAGS, "/api/v2.0/users/current") == [404, 200]
    assert await statuses(client(app, address="198.51.100.1"), TAGS, TAGS) == [404, 429]
    assert await statuses(alice, "/api/v2.0/users/current") == [429]
    assert await statuses(client(app, "bob"), TAGS) == [404]


async def test_a_project_has_so_many_requests(open_registry: Opener) -> None:
    """Of all accounts together, by either API, each request once; other projects go on."""
    app = await registry(open_registry, project="3/hour")
    await app.account("admin", ("*", "*"))
    await app.publish("team")
    alice, bob = client(app, "admin"), client(app, "bob")
    assert await statuses(alice, TAGS, "/api/v2.0/projects/team") == [404, 200]
    assert standing(await bob.get(TAGS), "project")[2] == 0
    assert await statuses(bob, TAGS, "/api/v2.0/projects/team", "/v2/other/app/tags/list") == [429, 429, 404]


async def test_signing_in_and_asking_for_tokens_have_limits_of_their_own(open_registry: Opener) -> None:
    """So that whoever guesses, or asks for tokens in a loop, keeps nobody's pulls waiting."""
    app = await registry(open_registry, signins="2/hour", tokens="2/hour")
    here = client(app)
    form = {"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": b"principal=alice&password=no"}
    assert [(await here.post("/c/login", **form)).status for _ in range(3)][2] == 429
    assert (await here.post("/c/account", **form)).status == 429
    assert (await statuses(here, *["/token"] * 3))[2] == 429
    assert await statuses(here, "/v2/") == [200]


async def test_without_limits_answers_say_nothing_of_them(open_registry: Opener) -> None:
    """A registry that limits nothing counts nothing."""
    app = await registry(open_registry, signins="5/minute")
    answer = await client(app).get("/v2/")
    assert "ratelimit" not in {name.lower() for name, _ in answer.headers}


async def test_another_spelling_of_a_path_counts_the_same(open_registry: Opener) -> None:
    """Encoding a letter that needs none gives nobody more tokens, nor more tries to sign in."""
    app = await registry(open_registry, tokens="2/hour", signins="2/hour")
    tokens = ["/token", "/tok%65n", "/%74oken"]
    assert (await statuses(client(app), *tokens))[-1] == 429
    here = client(app, address="192.0.2.9")
    tries = [(await here.post(path)).status for path in ("/c/login", "/%63/login", "/c/logi%6e")]
    assert tries[-1] == 429
    assert 429 not in tries[:2]


async def test_an_account_begins_so_many_repositories(open_registry: Opener) -> None:
    """A push to a new repository counts once, however many requests it is made of; what is there never counts.

    It does not help to push a manifest alone.
    """
    app = await registry(open_registry, repositories="2/hour")
    alice = client(app)
    await push_image(alice, "v1", b"a", b"b", name="team/one")
    await push_image(alice, "v1", b"a", name="team/two")
    for _ in range(3):
        await push_image(alice, "v2", b"more", name="team/one")
    begun = await asyncio.gather(*(alice.post("/v2/team/three/blobs/uploads/") for _ in range(4)))
    assert {answer.status for answer in begun} == {429}
    assert int(begun[0]["Retry-After"]) > 0
    assert "2 requests in 3600 s of one account that begins new repositories" in begun[0].body.decode()
    assert (await put_manifest(alice, index(), "v1", name="team/four")).status == 429
    await push_image(client(app, "bob"), "v1", b"c", name="team/three")
    assert (await alice.post("/v2/team/three/blobs/uploads/")).status == 202


async def test_a_copy_over_the_api_begins_a_repository_too(open_registry: Opener) -> None:
    """To one that is there an image is copied all the same."""
    app = await registry(open_registry, repositories="2/hour")
    await app.account("admin", ("*", "*"))
    admin = client(app, "admin")
    for name in ("team/one", "team/two"):
        await push_image(admin, "v1", b"a", name=name)
    await push_image(admin, "v2", b"b", name="team/one")
    copied = [await admin.post(COPY.format(to=to)) for to in ("two", "three")]
    assert [answer.status for answer in copied] == [201, 429]
