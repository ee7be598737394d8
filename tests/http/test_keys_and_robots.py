"""API keys and robots at the door: as Basic, as Bearer and at the token endpoint, with the limits they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from entrepot.access.api_key_limits import KeyLimit
from entrepot.access.api_keys import new_key
from entrepot.accounts.keys import NewKey
from entrepot.accounts.robot_model import NewRobot, RobotChange, RobotWithSecret
from entrepot.metadata.people import principals
from tests.http.transport import Answer, AsgiClient
from tests.support.access_modes import basic, push, registry_with
from tests.support.accounts import Accounts, on_project

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SCOPE = "scope=repository:demo/app:pull,push"


@dataclass
class Registry:
    """A registry as it runs without a file."""

    client: AsgiClient
    accounts: Accounts

    async def key(self, name: str = "laptop", *limits: KeyLimit) -> NewKey:
        """Make a key of the administrator."""
        admin = self.accounts.admin
        assert admin.id is not None
        return await self.accounts.keys.create(admin.id, name, acting=admin, by=self.accounts.by, limits=limits or None)

    async def robot(self, **more: object) -> RobotWithSecret:
        """Make a robot that may pull and push one repository."""
        permission = on_project("demo", "pull,push", repositories="demo/app")
        new = NewRobot(name="ci", project="demo", permissions=(permission,), **more)  # type: ignore[arg-type]
        return await self.accounts.robots.create(new, acting=self.accounts.admin, by=self.accounts.by)

    async def base(self, headers: dict[str, str]) -> int:
        """Return the status of `GET /v2/`."""
        return (await self.client.get("/v2/", headers=headers)).status

    async def renew(self, token: str) -> Answer:
        """Redeem a refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": token, "scope": "repository:demo/app:pull,push"}
        return await self.client.post("/token", headers=FORM, body=urlencode(form).encode())


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """Run it; it hands out refresh tokens."""
    environ = {"ENTREPOT_ADMIN_PASSWORD": "admin of the tests", "REGISTRY_ACCESS_TOKEN_REFRESH": "true"}
    async with registry_with(tmp_path, None, environ) as running:
        accounts = await Accounts.of(running.app.stores.metadata)
        await accounts.project("demo")
        yield Registry(running.client, accounts)


def bearer(token: str) -> dict[str, str]:
    """Return the header."""
    return {"Authorization": f"Bearer {token}"}


async def test_a_key_opens_every_door(registry: Registry) -> None:
    """Basic and Bearer on `/v2/`, Basic and Bearer at the endpoint of tokens, and its form."""
    key = (await registry.key()).secret
    for headers in (basic("admin", key), bearer(key)):
        assert await registry.base(headers) == 200
        assert await push(registry.client, "demo/app", headers) == 201
        asked = await registry.client.get(f"/token?{SCOPE}", headers=headers)
        assert asked.status == 200
        assert await push(registry.client, "demo/app", bearer(asked.json()["token"])) == 201
    form = {"grant_type": "password", "username": "admin", "password": key, "scope": "repository:demo/app:pull"}
    posted = await registry.client.post("/token", headers=FORM, body=urlencode(form).encode())
    assert posted.json()["scope"] == "repository:demo/app:pull"


async def test_a_key_that_is_none_opens_no_door(registry: Registry) -> None:
    """A made-up key, a key with another name, or one that was removed, is 401 everywhere."""
    made = await registry.key()
    others = [basic("admin", new_key()), bearer(new_key()), basic("nobody", made.secret), bearer(made.secret + "x")]
    assert await registry.base(bearer(made.secret)) == 200
    await registry.accounts.keys.remove(made.record.principal_id, made.record.id, by=registry.accounts.by)
    for headers in (*others, bearer(made.secret), basic("admin", made.secret)):
        assert await push(registry.client, "demo/app", headers) == 401
    for headers in others:
        assert await registry.base(headers) == 401
        assert (await registry.client.get("/token", headers=headers)).status == 401


async def test_what_a_key_opened_goes_with_it(registry: Registry) -> None:
    """Its short tokens and refresh tokens are refused once the key is removed, and say that it was the key."""
    made = await registry.key()
    asked = (
        await registry.client.get(f"/token?offline_token=true&{SCOPE}", headers=basic("admin", made.secret))
    ).json()
    assert (await registry.renew(asked["refresh_token"])).status == 200
    await registry.accounts.keys.remove(made.record.principal_id, made.record.id, by=registry.accounts.by)
    assert await push(registry.client, "demo/app", bearer(asked["token"])) == 401
    refused = await registry.renew(asked["refresh_token"])
    assert refused.status == 401
    assert "API key" in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize("way", ["basic", "bearer", "token", "refreshed"])
async def test_limits_hold_behind_every_door(way: str, registry: Registry) -> None:
    """A key for one repository and tags like `v*` pushes these and no other, by whatever it was exchanged for."""
    limit = KeyLimit(permissions=("repository:*", "tag:*"), repositories="demo/app", tags="v*")
    key = (await registry.key("narrow", limit)).secret
    headers = basic("admin", key)
    if way == "bearer":
        headers = bearer(key)
    elif way != "basic":
        asked = (await registry.client.get(f"/token?offline_token=true&{SCOPE}", headers=headers)).json()
        token = (
            asked["token"] if way == "token" else (await registry.renew(asked["refresh_token"])).json()["access_token"]
        )
        headers = bearer(token)
    assert await push_tag(registry, "demo/app", "v1", headers) == 201
    assert await push_tag(registry, "demo/app", "latest", headers) == 401
    assert await push_tag(registry, "demo/other", "v1", headers) == 401
    assert (await registry.client.get("/v2/demo/app/manifests/v1", headers=headers)).status == 200
    assert (await registry.client.get("/v2/_catalog", headers=headers)).status == 401


async def push_tag(registry: Registry, name: str, tag: str, headers: dict[str, str]) -> int:
    """Push an empty index under a tag, and return the status."""
    body = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    sent = {**headers, "Content-Type": "application/vnd.oci.image.index.v1+json"}
    return (await registry.client.put(f"/v2/{name}/manifests/{tag}", headers=sent, body=body)).status


@pytest.mark.parametrize("secret", [None, "Given by 1 person"])
async def test_a_robot_signs_in(secret: str | None, registry: Registry) -> None:
    """With a secret made here or one that was given: its one repository, and 401 with the reason elsewhere."""
    made = await registry.robot(secret=secret)
    headers = basic(made.robot.name, made.secret)
    assert await registry.base(headers) == 200
    assert await push(registry.client, "demo/app", headers) == 201
    elsewhere = await registry.client.get("/v2/demo/other/tags/list", headers=headers)
    assert elsewhere.status == 401
    assert 'error="insufficient_scope"' in elsewhere["WWW-Authenticate"]
    asked = await registry.client.get("/token?scope=repository:demo/app:pull,push,delete", headers=headers)
    assert await push(registry.client, "demo/app", bearer(asked.json()["token"])) == 201
    assert await registry.base(basic(made.robot.name, "wrong")) == 401


@pytest.mark.parametrize("how", ["disabled", "ended", "removed", "another secret"])
@pytest.mark.parametrize("secret", [None, "Given by 1 person"])
async def test_a_robot_that_is_out(how: str, secret: str | None, registry: Registry) -> None:
    """A robot that is closed, over, gone or has another secret writes nothing more, nor do its tokens."""
    made = await registry.robot(secret=secret)
    headers, number, robots = basic(made.robot.name, made.secret), made.robot.id, registry.accounts.robots
    asked = (await registry.client.get(f"/token?offline_token=true&{SCOPE}", headers=headers)).json()
    assert await push(registry.client, "demo/app", bearer(asked["token"])) == 201
    acting, by = registry.accounts.admin, registry.accounts.by
    match how:
        case "disabled":
            await robots.update(number, RobotChange(disabled=True), acting=acting, by=by)
        case "ended":
            await registry.accounts.database.write(lambda tx: principals.set_expiry(tx, number, 1))
        case "removed":
            await robots.remove(number, acting=None, by=by)
        case _:
            await robots.refresh_secret(number, acting=acting, by=by)
    assert await push(registry.client, "demo/app", bearer(asked["token"])) == 401
    assert await push(registry.client, "demo/app", headers) == 401
    assert (await registry.renew(asked["refresh_token"])).status == 401


async def test_many_sign_ins_at_once_cost_no_hash(registry: Registry) -> None:
    """Keys need no slow hash: two hundred sign-ins at once are answered, where passwords would wait in line."""
    key = (await registry.key()).secret
    answers = await asyncio.gather(*(registry.client.get("/token", headers=basic("admin", key)) for _ in range(200)))
    assert {answer.status for answer in answers} == {200}


async def test_a_remembered_credential_asks_nothing(registry: Registry) -> None:
    """A second token for what was just granted costs no statement, for a password and for a key."""
    database = registry.accounts.database
    for headers in (basic("admin", "admin of the tests"), basic("admin", (await registry.key()).secret)):
        assert (await registry.client.get(f"/token?{SCOPE}", headers=headers)).status == 200
        before = database.statistics.statements
        for _ in range(5):
            assert (await registry.client.get(f"/token?{SCOPE}", headers=headers)).status == 200
        assert database.statistics.statements == before
