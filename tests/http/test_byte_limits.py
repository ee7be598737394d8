"""So many bytes in a time, sent and received; who has used them up waits until the time is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from tests.http.test_rate_limits import client, registry, standing
from tests.http.transport import AsgiClient
from tests.support.app import Opener
from tests.support.manifests import digest_of

UPLOADS = "/v2/team/app/blobs/uploads/"
LAYER = b"x" * 4000
BLOB = f"/v2/team/app/blobs/{digest_of(LAYER)}"


async def push(client: AsgiClient, content: bytes = LAYER) -> int:
    """Push a blob with one request."""
    return (await client.post(f"{UPLOADS}?digest={digest_of(content)}", body=content)).status


async def test_an_account_has_so_many_bytes(open_registry: Opener) -> None:
    """What it sends and what it gets, from wherever; the next request is refused, with when to come again."""
    app = await registry(open_registry, principalbytes="10000/hour")
    alice = client(app)
    assert await push(alice) == 201
    first = await client(app, address="198.51.100.1").get(BLOB)
    assert standing(first, "principalbytes")[:3] == (10_000, 3600, 6_000)
    assert 'q=10000;qu="content-bytes";w=3600' in first["RateLimit-Policy"]
    assert (await alice.get(BLOB)).status == 200, "what was left is enough to begin"
    refused = await alice.get(BLOB)
    assert (refused.status, refused.codes) == (429, ["TOOMANYREQUESTS"])
    _, _, left, reset = standing(refused, "principalbytes")
    assert left == 0
    assert 0 < int(refused["Retry-After"]) == reset <= 3600
    assert "10,000 bytes or more in 3600 s of one account" in refused.json()["errors"][0]["message"]
    assert await push(alice, b"more") == 429
    assert (await client(app, "bob").get(BLOB)).status == 200


async def test_an_address_has_so_many_bytes(open_registry: Opener) -> None:
    """Of whoever asks from there, also without a right; this host, and whoever watches, have no limit."""
    app = await registry(open_registry, addressbytes="4000/hour")
    assert await push(client(app)) == 201
    for path in ("/v2/", BLOB, "/api/v2.0/users/current"):
        assert (await client(app, "bob").get(path)).status == 429
    assert (await client(app).get("/healthz")).status == 200
    assert (await client(app, address="192.0.2.8").get(BLOB)).status == 200
    here = AsgiClient(app.application, headers=[], address="127.0.0.1", host="localhost:5000")
    assert [(await here.get("/v2/")).status for _ in range(2)] == [401, 401]


async def test_a_project_has_so_many_bytes(open_registry: Opener) -> None:
    """Of all accounts together, by either API; others go on, and what is refused for lack of a right is free."""
    app = await registry(open_registry, projectbytes="4000/hour")
    await app.account("admin", ("*", "*"))
    assert (await client(app).get("/v2/secret/app/tags/list")).status == 401
    assert await push(client(app)) == 201
    assert (await client(app, "bob").get(BLOB)).status == 429
    assert (await client(app, "admin").get("/api/v2.0/projects/team")).status == 429
    assert (await client(app, "bob").get("/v2/other/app/tags/list")).status == 404


async def test_the_body_that_uses_it_up_still_becomes_a_blob(open_registry: Opener) -> None:
    """The upload that went beyond the limit may be completed, not be added to; so no layer is too large to push."""
    app = await registry(open_registry, principalbytes="1000/hour")
    alice = client(app)
    opened = await alice.post(UPLOADS)
    sent = await alice.patch(opened["Location"], body=LAYER)
    assert sent.status == 202
    location = sent["Location"]
    assert (await alice.patch(location, body=LAYER)).status == 429
    assert (await alice.put(f"{location}&digest={digest_of(LAYER * 2)}", body=LAYER)).status == 429
    assert (await alice.put(f"{location}&digest={digest_of(LAYER)}")).status == 201
    assert (await alice.post(UPLOADS)).status == 429


async def test_bytes_count_while_they_move(open_registry: Opener) -> None:
    """A long upload is counted as it goes on, and each byte once."""
    app = await registry(open_registry, principalbytes="10000/hour")
    limits = app.services.rates
    assert limits is not None
    alice, gate = client(app), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield LAYER
        await gate.wait()
        yield LAYER

    sending = asyncio.ensure_future(alice.post(f"{UPLOADS}?digest={digest_of(LAYER * 2)}", body=slow()))
    counting = asyncio.ensure_future(limits.run())
    try:
        async with asyncio.timeout(5):
            while standing(await alice.get("/v2/team/app/tags/list"), "principalbytes")[2] > 6_000:
                await asyncio.sleep(0.1)
        gate.set()
        assert (await sending).status == 201
    finally:
        counting.cancel()
    left = standing(await alice.get("/v2/team/app/tags/list"), "principalbytes")[2]
    assert 500 < left <= 2_000


async def test_a_request_that_breaks_off_counts(open_registry: Opener) -> None:
    """Whoever leaves in the middle of a body has sent what arrived of it."""
    app = await registry(open_registry, principalbytes="4000/hour")
    alice = client(app)
    assert (await alice.post(f"{UPLOADS}?digest={digest_of(b'other')}", body=LAYER)).status == 400
    assert await push(alice) == 429


async def test_a_head_moves_no_bytes(open_registry: Opener) -> None:
    """However large what it asks about is."""
    app = await registry(open_registry, principalbytes="5000/hour")
    alice = client(app)
    assert await push(alice) == 201
    for _ in range(3):
        last = await alice.head(BLOB)
    assert standing(last, "principalbytes")[2] == 1_000
