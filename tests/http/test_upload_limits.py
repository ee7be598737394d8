"""So many uploads at once, of an account, of nobody from one address, and to a project; the others are told to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from entrepot.metadata.people import request_counts
from tests.http.transport import Answer, AsgiClient, Leave
from tests.support.access_modes import basic
from tests.support.app import App, Opener
from tests.support.manifests import digest_of

UPLOADS = "/v2/team/app/blobs/uploads/"
CONTENT = b"content of a layer"


async def registry(open_registry: Opener, **limits: Any) -> App:
    """Run a registry with accounts and these limits."""
    app = await open_registry(signed_in=True, at_once=limits)
    for name in ("alice", "bob"):
        await app.account(name, ("project:team", "pull,push"), ("project:other", "pull,push"))
    return app


def client(app: App, name: str = "alice") -> AsgiClient:
    """Return a client of somebody."""
    return app.client(headers=basic(name, name))


async def begin(client: AsgiClient, uploads: str = UPLOADS) -> Answer:
    """Open an upload."""
    return await client.post(uploads)


async def held(gate: asyncio.Event, *, then: type[Exception] | None = None) -> AsyncIterator[bytes]:
    """Send a body whose end waits for the gate."""
    yield CONTENT
    await gate.wait()
    if then is not None:
        raise then


async def test_an_account_has_so_many_uploads_at_once(open_registry: Opener) -> None:
    """The one too many is refused before anything is sent, with what to do; others and other limits go on."""
    app = await registry(open_registry, uploads=2)
    alice = client(app)
    first, second = await begin(alice), await begin(alice)
    assert [first.status, second.status] == [202, 202]
    assert first["RateLimit-Policy"] == '"uploads";q=2;qu="concurrent-requests"'
    assert [first["RateLimit"], second["RateLimit"]] == ['"uploads";r=1', '"uploads";r=0']
    refused = await begin(alice)
    assert (refused.status, refused.codes, refused["Retry-After"]) == (429, ["TOOMANYREQUESTS"], "10")
    assert refused["RateLimit"] == '"uploads";r=0'
    assert "2 uploads of one account or address at once" in refused.json()["errors"][0]["message"]
    assert (await begin(client(app, "bob"))).status == 202
    done = await alice.put(f"{first['Location']}&digest={digest_of(CONTENT)}", body=CONTENT)
    assert done.status == 201
    assert (await begin(alice)).status == 202


async def test_what_is_cancelled_makes_room(open_registry: Opener) -> None:
    """An upload that its client ends by DELETE, and a blob that came whole, hold no place after it."""
    app = await registry(open_registry, uploads=1)
    alice = client(app)
    for _ in range(2):
        opened = await begin(alice)
        assert (await alice.delete(opened["Location"])).status == 204
        whole = await alice.post(f"{UPLOADS}?digest={digest_of(CONTENT)}", body=CONTENT)
        assert whole.status == 201


@pytest.mark.parametrize("wrong", [{"digest": "sha256:bad"}, {"digest": digest_of(b"other")}])
async def test_a_blob_that_is_refused_holds_no_place(open_registry: Opener, wrong: dict[str, str]) -> None:
    """Neither where its digest cannot be read, nor where its bytes have another."""
    alice = client(await registry(open_registry, uploads=1))
    for _ in range(2):
        assert (await alice.post(f"{UPLOADS}?digest={wrong['digest']}", body=CONTENT)).status == 400
    assert (await begin(alice)).status == 202


async def test_a_client_that_leaves_holds_no_place(open_registry: Opener) -> None:
    """While it sends it does; once the connection is gone the next upload begins at once."""
    app = await registry(open_registry, uploads=1)
    alice, gate = client(app), asyncio.Event()
    opened = await begin(alice)
    sending = asyncio.ensure_future(alice.patch(opened["Location"], body=held(gate, then=Leave)))
    await asyncio.sleep(0.05)
    assert (await begin(alice)).status == 429
    gate.set()
    await sending
    assert (await begin(alice)).status == 202


async def test_a_chunk_that_loses_takes_no_place_away(open_registry: Opener) -> None:
    """A second chunk at once is refused as ever, and the first goes on to count: two requests, one upload."""
    app = await registry(open_registry, uploads=1)
    alice, gate = client(app), asyncio.Event()
    opened = await begin(alice)
    sending = asyncio.ensure_future(alice.patch(opened["Location"], body=held(gate)))
    await asyncio.sleep(0.05)
    assert (await alice.patch(opened["Location"], body=CONTENT)).status == 416
    assert (await begin(alice)).status == 429
    gate.set()
    sent = await sending
    assert sent.status == 202
    assert (await begin(alice)).status == 429, "it is not complete yet"
    assert (await alice.put(f"{sent['Location']}&digest={digest_of(CONTENT)}")).status == 201
    assert (await begin(alice)).status == 202


async def test_what_was_sent_is_never_thrown_away(open_registry: Opener) -> None:
    """The request that only completes an upload needs no place, though others have taken all since."""
    app = await registry(open_registry, uploads=1)
    alice = client(app)
    opened = await begin(alice)
    sent = await alice.patch(opened["Location"], body=CONTENT)
    assert sent.status == 202
    await app.stores.work.write(forget_places, name="six seconds later")
    assert (await begin(alice)).status == 202
    assert (await alice.patch(sent["Location"], body=CONTENT)).status == 429
    assert (await alice.put(f"{sent['Location']}&digest={digest_of(CONTENT)}")).status == 201


async def forget_places(tx: Any) -> None:
    """Do what time does to the places of clients that are silent."""
    names = await request_counts.read_range(tx, "places/", "places0", now=0)
    await request_counts.remove(tx, names)


async def test_nobody_takes_an_accounts_places_without_its_credentials(open_registry: Opener) -> None:
    """Neither with its name and a wrong password, nor with its session under another account, nor anonymously."""
    app = await registry(open_registry, uploads=1, projectuploads=2)
    wrong = app.client(headers=basic("alice", "guess"))
    assert [(await begin(each)).status for each in (wrong, app.client()) for _ in range(3)] == [401] * 6
    alice, bob = client(app), client(app, "bob")
    opened = await begin(alice)
    assert opened.status == 202
    for method in ("PATCH", "DELETE"):
        assert (await bob.request(method, opened["Location"], body=CONTENT)).status in (401, 404)
    assert (await begin(alice)).status == 429, "somebody else gave the place of alice away"
    assert (await begin(bob)).status == 202


async def test_nobody_has_so_many_uploads_from_one_address(open_registry: Opener) -> None:
    """On a registry that is open to everybody each address counts by itself; this host has no limit."""
    app = await open_registry(at_once={"uploads": 1})
    one, other = app.client(address="192.0.2.7"), app.client(address="192.0.2.8")
    assert [(await begin(each)).status for each in (one, one, other)] == [202, 429, 202]
    here = AsgiClient(app.application, address="127.0.0.1", host="localhost:5000")
    assert [(await begin(here)).status for _ in range(3)] == [202] * 3


async def test_a_project_has_so_many_uploads_at_once(open_registry: Opener) -> None:
    """Of all accounts together; other projects go on."""
    app = await registry(open_registry, projectuploads=1)
    assert (await begin(client(app))).status == 202
    refused = await begin(client(app, "bob"), "/v2/team/more/blobs/uploads/")
    assert refused.status == 429
    assert "1 uploads of one project" in refused.json()["errors"][0]["message"]
    assert (await begin(client(app, "bob"), "/v2/other/app/blobs/uploads/")).status == 202


async def test_of_32_uploads_at_once_exactly_so_many_go_on(open_registry: Opener) -> None:
    """None more, none fewer; and when they are complete, as many again."""
    app = await registry(open_registry, uploads=5)
    alice, gate = client(app), asyncio.Event()

    async def push(number: int) -> int:
        content = CONTENT + b"%d" % number

        async def body() -> AsyncIterator[bytes]:
            yield content
            await gate.wait()

        return (await alice.post(f"{UPLOADS}?digest={digest_of(content)}", body=body())).status

    for turn in range(2):
        gate.clear()
        going = [asyncio.ensure_future(push(100 * turn + number)) for number in range(32)]
        async with asyncio.timeout(10):
            while sum(task.done() for task in going) < 27:
                await asyncio.sleep(0.01)
        gate.set()
        assert sorted(await asyncio.gather(*going)) == [201] * 5 + [429] * 27


async def test_mounting_needs_no_place(open_registry: Opener) -> None:
    """No byte is sent by it."""
    app = await registry(open_registry, uploads=1)
    alice = client(app)
    assert (await alice.post(f"{UPLOADS}?digest={digest_of(CONTENT)}", body=CONTENT)).status == 201
    assert (await begin(alice)).status == 202
    mounted = await alice.post(f"/v2/other/app/blobs/uploads/?mount={digest_of(CONTENT)}&from=team/app")
    assert mounted.status == 201
