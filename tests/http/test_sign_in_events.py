"""Every door leaves a word in the audit log: who came in by it, and who did not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from entrepot.access.api_keys import new_key
from entrepot.access.tokens.robot_trust import parse_trusts
from entrepot.accounts.robot_model import NewRobot
from entrepot.metadata import audit_log, events
from entrepot.metadata.audit_log import Filter
from tests.support.access_modes import SignInRegistry, basic, registry_with
from tests.support.accounts import Accounts, on_project
from tests.support.ci_issuer import CiIssuer, ci_issuer

PASSWORD = "the admin of the tests"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
AUDIENCE = "https://registry.example.org"


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[CiIssuer]:
    """Run a CI service."""
    (tmp_path / "issuer").mkdir()
    with ci_issuer(tmp_path / "issuer") as running:
        yield running


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[SignInRegistry]:
    """Run it; it may ask its own host."""
    environ = {"REGISTRY_OUTBOUND_ALLOW": '["127.0.0.1"]', "ENTREPOT_ADMIN_PASSWORD": PASSWORD}
    environ["REGISTRY_ACCESS_TOKEN_REFRESH"] = "true"
    async with registry_with(tmp_path / "data", None, environ) as running:
        yield running


async def sign_ins(registry: SignInRegistry) -> set[tuple[str, str | None, str | None, str | None]]:
    """Return actor, subject, credential and result of every sign-in that was noted."""
    tasks = [asyncio.ensure_future(work()) for work in registry.access.background]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    page = await audit_log.page(registry.app.stores.metadata, Filter(kind=events.SIGN_IN), limit=100)
    return {(event.actor, event.subject, event.credential, event.result) for event in page.events}


async def test_passwords_and_keys(registry: SignInRegistry) -> None:
    """As Basic and as Bearer, on /v2/ and at the endpoint of tokens; a key by its number, never by itself."""
    accounts = await Accounts.of(registry.app.stores.metadata)
    assert accounts.admin.id is not None
    key = await accounts.keys.create(accounts.admin.id, "laptop", acting=accounts.admin, by=accounts.by)
    client, bearer = registry.client, {"Authorization": f"Bearer {key.secret}"}
    for headers in (basic("admin", PASSWORD), bearer):
        assert (await client.get("/v2/", headers=headers)).status == 200
        assert (await client.get("/token", headers=headers)).status == 200
    for headers in (basic("admin", "wrong"), basic("nobody", PASSWORD), {"Authorization": f"Bearer {new_key()}"}):
        assert (await client.get("/v2/", headers=headers)).status == 401
    assert await sign_ins(registry) == {
        ("admin", "user:admin", "password", "success"),
        ("admin", "user:admin", f"key:{key.record.id}", "success"),
        ("admin", "user:admin", "password", "failure"),
        ("nobody", "user:nobody", "password", "failure"),
        ("", "user:", "key", "failure"),
    }


async def test_refresh_tokens(registry: SignInRegistry) -> None:
    """Whoever redeems one signs in: once for many times in ten minutes; one that nobody made is a failure each time."""
    asked = await registry.client.get("/token?offline_token=true", headers=basic("admin", PASSWORD))
    good = asked.json()["refresh_token"]
    for token, status in ((good, 200), (good, 200), (good, 200), ("ert_0_nobody", 401)):
        form = {"grant_type": "refresh_token", "refresh_token": token, "service": "entrepot", "client_id": "t"}
        answer = await registry.client.post("/token", headers=FORM, body=urlencode(form).encode())
        assert answer.status == status, answer.body
    assert await sign_ins(registry) == {
        ("admin", "user:admin", "password", "success"),
        ("admin", "user:admin", "refresh token", "success"),
        ("", "user:", "refresh token", "failure"),
    }


async def test_jobs_of_a_ci_service(registry: SignInRegistry, issuer: CiIssuer) -> None:
    """A robot by its job's token, as its password and exchanged; and a job that it does not trust."""
    accounts = await Accounts.of(registry.app.stores.metadata)
    await accounts.project("demo")
    trust = {"issuer": issuer.url, "audience": AUDIENCE, "claims": {"repository": "acme/app"}}
    new = NewRobot(name="ci", project="demo", permissions=(on_project("demo", "pull"),), trust=parse_trusts([trust]))
    name = (await accounts.robots.create(new, acting=accounts.admin, by=accounts.by)).robot.name
    good, bad = issuer.token(AUDIENCE), issuer.token(AUDIENCE, repository="mallory/app")
    assert (await registry.client.get("/v2/", headers=basic(name, good))).status == 200
    for token, status in ((good, 200), (bad, 400)):
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "client_id": name,
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
        answer = await registry.client.post("/token", headers=FORM, body=urlencode(form).encode())
        assert answer.status == status
    assert await sign_ins(registry) == {
        (name, f"robot:{name}", "token", "success"),
        (name, f"user:{name}", "outside token", "failure"),
    }
