"""Each front door, each kind of credentials, each way in which they no longer count: everywhere the same no.

GitLab's virtual registries took what its own front door refused (CVE-2026-6515), and its dependency proxy overlooked
what a token was narrowed to.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from entrepot.metadata.people import users
from entrepot.metadata.query import RawQuery
from tests.http.pushing import push_image
from tests.support.api import Api
from tests.support.app import App, Opener

#: What each door is asked, and what somebody gets who may pull from `team`, and nothing else.
DOORS = {
    "manifest": "/v2/team/app/manifests/v1",
    "tags": "/v2/team/app/tags/list",
    "api": "/api/v2.0/projects/team/repositories/app",
    "artifact": "/api/v2.0/projects/team/repositories/app/artifacts/v1",
}
#: The same of a project that narrow credentials do not reach.
BEYOND = {name: path.replace("team", "other") for name, path in DOORS.items()}
#: Within which every door must have learned of it; a pull that was allowed is allowed again for a second.
SECONDS = 5.0
PULL = ["repository:pull", "repository:read", "artifact:read", "tag:list", "project:read"]


@dataclass
class Credentials:
    """What is sent, and how it is taken back."""

    authorization: str
    revoke: Callable[[], Awaitable[object]] | None = None
    expire: Callable[[], Awaitable[object]] | None = None
    narrow: str = ""  #: what is sent to reach `team` alone


@pytest.fixture
async def app(open_registry: Opener) -> App:
    """Give a registry with two projects, in which alice may do everything."""
    app = await open_registry(signed_in=True)
    await app.account("admin", ("*", "*"))
    alice = await app.account("alice", ("project:team", "*"), ("project:other", "*"))
    for name in ("team", "other"):
        client = await app.bearer(alice, f"repository:{name}/app:pull,push")
        await push_image(client, "v1", name=f"{name}/app")
    return app


def basic(name: str, secret: str) -> str:
    """Return the header that signs in."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


async def password(app: App) -> Credentials:
    """Sign in with a name and a password, which goes with the account."""
    admin = Api(app.basic("admin"))
    alice = await users.find(app.stores.metadata, "alice")
    assert alice is not None
    path = f"/users/{alice.id}"
    return Credentials(basic("alice", "alice"), revoke=lambda: admin.put(f"{path}/disabled", {"disabled": True}))


async def key(app: App) -> Credentials:
    """Sign in with an API key."""
    own = Api(app.basic("alice"))
    made = (await own.post("/users/current/keys", {"name": "all"})).json()
    limits = [{"permissions": PULL, "project": "team"}]
    narrow = (await own.post("/users/current/keys", {"name": "narrow", "limits": limits})).json()
    return Credentials(
        basic("alice", made["secret"]),
        revoke=lambda: own.delete(f"/users/current/keys/{made['id']}"),
        expire=lambda: past(app, "api_keys", made["id"]),
        narrow=basic("alice", narrow["secret"]),
    )


async def bearer_key(app: App) -> Credentials:
    """Send an API key as a Bearer token."""
    found = await key(app)
    bearer = [
        "Bearer " + base64.b64decode(text[6:]).decode().partition(":")[2]
        for text in (found.authorization, found.narrow)
    ]
    return Credentials(bearer[0], revoke=found.revoke, expire=found.expire, narrow=bearer[1])


async def robot(app: App) -> Credentials:
    """Sign in as a robot of the registry, and as one of a project."""
    admin = Api(app.basic("admin"))
    access = [dict(zip(("resource", "action"), text.split(":"), strict=True)) for text in PULL]

    async def make(level: str, namespace: str) -> dict[str, Any]:
        permission = {"kind": "project", "namespace": namespace, "access": access}
        document = {"name": f"ci-{level}", "level": level, "duration": 30, "permissions": [permission]}
        answer = await admin.post("/robots", document)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json()
        return found

    wide, narrow = await make("system", "*"), await make("project", "team")
    return Credentials(
        basic(wide["name"], wide["secret"]),
        revoke=lambda: admin.delete(f"/robots/{wide['id']}"),
        expire=lambda: past(app, "principals", wide["id"]),
        narrow=basic(narrow["name"], narrow["secret"]),
    )


async def past(app: App, table: str, number: int) -> None:
    """Let something have ended a second ago."""
    update = RawQuery(f"UPDATE {table} SET expires_at = 1 WHERE id = {int(number)}")
    await app.stores.metadata.write(lambda tx: tx.execute(update))


KINDS = {"password": password, "key": key, "bearer key": bearer_key, "robot": robot}


async def statuses(app: App, authorization: str, doors: dict[str, str]) -> dict[str, int]:
    """Ask every door."""
    client = app.client(headers={"Authorization": authorization})
    return {name: (await client.get(path)).status for name, path in doors.items()}


@pytest.mark.parametrize("end", ["revoke", "expire"])
@pytest.mark.parametrize("kind", KINDS)
async def test_cve_2026_6515_what_has_ended_opens_no_door(app: App, kind: str, end: str) -> None:
    """Taken back or run out: every door says no, to whatever kind of credentials, where it said yes before."""
    credentials = await KINDS[kind](app)
    finish = getattr(credentials, end)
    if finish is None:
        assert kind == "password"  # a password has no end of its own
        return
    assert set((await statuses(app, credentials.authorization, DOORS)).values()) == {200}
    done = await finish()
    assert done is None or done.status == 200, done.body
    async with asyncio.timeout(SECONDS):
        while set((await statuses(app, credentials.authorization, DOORS)).values()) != {401}:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "password"])
async def test_cve_2026_6515_what_is_narrow_is_narrow_at_every_door(app: App, kind: str) -> None:
    """Credentials for one project open every door of it, and none of another that their owner may enter."""
    credentials = await KINDS[kind](app)
    assert set((await statuses(app, credentials.narrow, DOORS)).values()) == {200}
    assert set((await statuses(app, credentials.narrow, BEYOND)).values()) <= {401, 403, 404}
    client = app.client(headers={"Authorization": credentials.narrow})
    assert (await client.post("/v2/team/app/blobs/uploads/")).status == 401
    assert (await Api(client).delete("/projects/team/repositories/app")).status == 403
