"""`/token`: the Docker token specification, GET and POST, over real accounts."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from entrepot.access.compatibility import ensure_compatibility
from entrepot.adapters.identity.accounts import hash_password
from entrepot.adapters.identity.setup import Access, build_access, prepare_access
from entrepot.config import load
from entrepot.metadata.people import grants, principals
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from entrepot.web.application import Application
from entrepot.web.router import Route
from entrepot.web.token.endpoint import FORM_SECONDS, TokenEndpoint, token_routes
from tests.http.transport import Answer, AsgiClient
from tests.support.app import App, AppOptions, open_app
from tests.support.rows import all_grants

ADMIN = "correct horse battery"
ALICE = hash_password("alice's secret")


@dataclass
class Registry:
    """A registry without a configuration file, as `make serve` starts it."""

    app: App
    access: Access
    client: AsgiClient

    async def account(self, name: str, *rights: tuple[str, str]) -> None:
        """Make an account with a real password and grants."""
        principal = await self.app.account(name, *rights)
        assert principal.id is not None
        await self.app.stores.metadata.write(lambda tx: principals.set_secret(tx, principal.id, ALICE))


@pytest.fixture
def environ() -> dict[str, str]:
    """Give the variables that it runs with: it hands out refresh tokens."""
    return {"REGISTRY_ACCESS_TOKEN_REFRESH": "true"}


@pytest.fixture
async def registry(tmp_path: Path, environ: dict[str, str]) -> AsyncIterator[Registry]:
    """Run one."""
    config = load(None, environ, data=tmp_path, listen=None).config
    async with open_app(tmp_path) as plain:
        database = plain.stores.metadata
        vault = Vault(database, KeySource(config.state, {}))
        await prepare_access(config, database, vault, {"ENTREPOT_ADMIN_PASSWORD": ADMIN})
        access = await build_access(config, plain.stores, vault)
        assert access.desk is not None
        services = {
            "authenticator": access.authenticator,
            "authorizer": access.authorizer,
            "challenge": access.challenge,
        }
        plain.services = type(plain.services)(
            **{name: getattr(plain.services, name) for name in plain.services.__dataclass_fields__} | services
        )
        client = AsgiClient(Application(plain.services, token_routes(access.desk)))
        yield Registry(plain, access, client)


def basic(name: str, password: str) -> dict[str, str]:
    """Return the header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(answer: Answer) -> dict[str, str]:
    """Return the header with the token of an answer."""
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def get_token(client: AsgiClient, query: str = "", **options: Any) -> Answer:
    return await client.get(f"/token?{query}", **options)


async def post_token(client: AsgiClient, path: str = "/token", **form: str) -> Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await client.post(path, headers=headers, body=urlencode(form).encode())


async def test_the_way_of_docker_login(registry: Registry) -> None:
    """`GET /v2/` → challenge → token with account and offline_token → `GET /v2/` again, to the letter."""
    first = await registry.client.get("/v2/")
    assert first.status == 401
    assert first.codes == ["UNAUTHORIZED"]
    match = re.fullmatch(r'Bearer realm="http://registry\.test/token",service="(.+)"', first["WWW-Authenticate"])
    assert match is not None
    query = f"account=admin&client_id=docker&offline_token=true&service={match[1]}"
    answer = await get_token(registry.client, query, headers=basic("admin", ADMIN))
    assert answer.status == 200
    document = answer.json()
    assert document["token"] == document["access_token"]
    assert document["expires_in"] >= 60
    issued = datetime.fromisoformat(document["issued_at"])
    assert document["issued_at"].endswith("Z")
    assert abs((datetime.now(UTC) - issued).total_seconds()) < 60
    assert answer["Cache-Control"] == "no-store"
    assert (await registry.client.get("/v2/", headers=bearer(answer))).status == 200
    later = await post_token(
        registry.client,
        grant_type="refresh_token",
        refresh_token=document["refresh_token"],
        service=match[1],
        client_id="docker",
        scope="repository:team/app:pull,push registry:catalog:*",
    )
    assert later.status == 200
    assert later.json()["scope"] == "repository:team/app:pull,push registry:catalog:*"
    assert later.json()["refresh_token"] == document["refresh_token"]
    assert "token" not in later.json()
    assert (await registry.client.get("/v2/_catalog", headers=bearer(later))).status == 200


@pytest.mark.parametrize("environ", [{}])
async def test_docker_login_keeps_the_password_unless_refresh_tokens_are_switched_on(registry: Registry) -> None:
    """Who asks for offline access gets a token and nothing that a client would keep in place of the password."""
    query = "account=admin&client_id=docker&offline_token=true&service=entrepot"
    asked = await get_token(registry.client, query, headers=basic("admin", ADMIN))
    assert (asked.status, "refresh_token" in asked.json()) == (200, False)
    form = {"grant_type": "password", "username": "admin", "password": ADMIN, "access_type": "offline"}
    posted = await post_token(registry.client, **form)
    assert (posted.status, "refresh_token" in posted.json()) == (200, False)


async def test_basic_is_accepted_at_v2_too(registry: Registry) -> None:
    """A client that sends name and password right away needs no token."""
    assert (await registry.client.get("/v2/", headers=basic("admin", ADMIN))).status == 200
    assert (await registry.client.get("/v2/_catalog", headers=basic("admin", ADMIN))).status == 200
    wrong = await registry.client.get("/v2/", headers=basic("admin", "wrong"))
    assert (wrong.status, wrong.codes) == (401, ["UNAUTHORIZED"])
    assert wrong["WWW-Authenticate"].startswith("Bearer ")


async def test_without_offline_there_is_no_refresh_token(registry: Registry) -> None:
    """A refresh token is made only for who asks, and never for the anonymous."""
    for query, headers in (("", basic("admin", ADMIN)), ("offline_token=true", {})):
        answer = await get_token(registry.client, query, headers=headers)
        assert answer.status == 200
        assert "refresh_token" not in answer.json()


@pytest.mark.parametrize(
    "headers", [basic("admin", "wrong"), basic("nobody", ADMIN), {"Authorization": "Basic ?"}, {"Authorization": "x"}]
)
async def test_wrong_credentials_are_401(headers: dict[str, str], registry: Registry) -> None:
    """Never a token for less: wrong credentials are an error, and the same one for every reason that is a secret."""
    answer = await get_token(registry.client, headers=headers)
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert answer["WWW-Authenticate"].startswith("Basic realm=")


async def test_a_token_cannot_ask_for_a_better_one(registry: Registry) -> None:
    """A narrow token does not become a wide one at the endpoint."""
    narrow = await get_token(registry.client, "scope=repository:team/app:pull", headers=basic("admin", ADMIN))
    answer = await get_token(registry.client, "scope=repository:team/app:delete", headers=bearer(narrow))
    assert answer.status == 401


async def test_less_than_asked_is_no_error(registry: Registry) -> None:
    """Scopes come several times and several at once; what is not allowed or not understood is left out."""
    await registry.account("alice", ("project:team", "pull"))
    query = "&".join(
        f"scope={quote(scope)}"
        for scope in ("repository:team/a:pull,push repository:x/y:pull", "repository:team/b:delete", "what", "")
    )
    answer = await get_token(registry.client, query, headers=basic("alice", "alice's secret"))
    assert answer.status == 200
    claims = answer.json()["token"].split(".")[1]
    assert b'"access":[{"type":"repository","name":"team/a","actions":["pull"]}]' in base64.urlsafe_b64decode(
        claims + "=="
    ).replace(b'": ', b'":').replace(b", ", b",")


async def test_the_anonymous_get_tokens_for_public_projects(registry: Registry) -> None:
    """An anonymous pull goes both ways: with a token, and directly; a private project answers 401 to both."""
    for name in ("open", "closed"):
        await _push(registry.client, f"{name}/app", basic("admin", ADMIN))
    await registry.app.publish("open")
    asked = "&".join(f"scope=repository:{name}:pull,push" for name in ("open/app", "closed/app"))
    token = bearer(await get_token(registry.client, asked))
    for headers in ({}, token):
        readable = await registry.client.get("/v2/open/app/tags/list", headers=headers)
        assert readable.json()["tags"] == ["latest"]
        closed = await registry.client.get("/v2/closed/app/tags/list", headers=headers)
        missing = await registry.client.get("/v2/missing/app/tags/list", headers=headers)
        assert (closed.status, missing.status) == (401, 401)
        assert closed.body.replace(b"closed", b"missing") == missing.body
        assert closed["WWW-Authenticate"].replace("closed", "missing") == missing["WWW-Authenticate"]
        assert (await registry.client.post("/v2/open/app/blobs/uploads/", headers=headers)).status == 401
    insufficient = await registry.client.get("/v2/closed/app/tags/list", headers=token)
    assert insufficient["WWW-Authenticate"].endswith(',scope="repository:closed/app:pull",error="insufficient_scope"')


async def test_a_push_needs_both_actions(registry: Registry) -> None:
    """A token with pull does not push; the challenge names what would."""
    pull = await get_token(registry.client, "scope=repository:team/app:pull", headers=basic("admin", ADMIN))
    refused = await registry.client.post("/v2/team/app/blobs/uploads/", headers=bearer(pull))
    assert refused.status == 401
    assert 'scope="repository:team/app:pull,push",error="insufficient_scope"' in refused["WWW-Authenticate"]
    both = await get_token(registry.client, "scope=repository:team/app:pull,push", headers=basic("admin", ADMIN))
    assert (await registry.client.post("/v2/team/app/blobs/uploads/", headers=bearer(both))).status == 202


async def test_post_with_a_password(registry: Registry) -> None:
    """`grant_type=password` answers in OAuth's words; offline access adds a refresh token."""
    answer = await post_token(
        registry.client,
        grant_type="password",
        username="admin",
        password=ADMIN,
        service="entrepot",
        client_id="test",
        access_type="offline",
        scope="repository:team/app:*",
    )
    assert answer.status == 200
    document = answer.json()
    assert set(document) == {"access_token", "scope", "expires_in", "issued_at", "refresh_token"}
    assert document["scope"] == "repository:team/app:pull,push,delete"
    wrong = await post_token(registry.client, grant_type="password", username="admin", password="x")
    assert (wrong.status, wrong.codes) == (401, ["UNAUTHORIZED"])


@pytest.mark.parametrize("token", ["", "x", "ert_0_x"])
async def test_unknown_refresh_tokens_are_401(token: str, registry: Registry) -> None:
    """A refresh token that is not ours is a wrong credential."""
    answer = await post_token(registry.client, grant_type="refresh_token", refresh_token=token)
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"grant_type": "client_credentials"},
        {"grant_type": "password", "username": "admin", "password": ADMIN, "service": "other"},
        {"grant_type": "refresh_token", "refresh_token": "x", "service": "other"},
        {f"field{number}": "x" for number in range(200)},
    ],
)
async def test_bad_forms_are_400(form: dict[str, str], registry: Registry) -> None:
    """A form that asks for something else says so in both languages."""
    answer = await post_token(registry.client, **form)
    assert answer.status == 400
    document = answer.json()
    assert document["error"]
    assert document["errors"][0]["message"] == document["error_description"]


async def test_other_bodies_are_refused(registry: Registry) -> None:
    """JSON, bytes that are no text, and forms beyond any reason."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers, body, status in (
        ({"Content-Type": "application/json"}, b"{}", 400),
        ({}, b"grant_type=password", 400),
        (form, b"grant_type=\xff", 400),
        (form, b"grant_type=%ff", 400),
        (form, b"x" * 70_000, 413),
    ):
        assert (await registry.client.post("/token", headers=headers, body=body)).status == status, body[:20]


async def test_a_form_that_drips_is_ended(registry: Registry) -> None:
    """A form may not arrive byte by byte for as long as an upload may: nobody has signed in to send it."""
    assert registry.access.desk is not None
    endpoint = TokenEndpoint(registry.access.desk, form_seconds=0.2)
    route = Route("token", {"POST": endpoint.post})
    client = AsgiClient(Application(registry.app.services, {"/token": route}))

    async def drip() -> AsyncIterator[bytes]:
        for byte in b"grant_type=password" * 100:
            await asyncio.sleep(0.01)
            yield bytes([byte])

    started = time.monotonic()
    answer = await client.post("/token", headers={"Content-Type": "application/x-www-form-urlencoded"}, body=drip())
    assert (answer.status, time.monotonic() - started < 5) == (408, True)
    assert FORM_SECONDS <= 10


async def test_the_anonymous_name_few_scopes(registry: Registry) -> None:
    """Twenty are served, with two statements for all their projects; one more is a clear 400; accounts name more."""
    scopes = [f"scope=repository:p{number}/app:*" for number in range(21)]
    database = registry.app.stores.metadata
    assert (await get_token(registry.client, scopes[20])).status == 200  # reads how long tokens live
    for _ in range(2):
        before = database.statistics.statements
        assert (await get_token(registry.client, "&".join(scopes[:20]))).status == 200
        assert database.statistics.statements - before == 2
    answer = await get_token(registry.client, "&".join(scopes))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_scope")
    assert "20 scopes" in answer.json()["error_description"]
    assert (await get_token(registry.client, "&".join(scopes), headers=basic("admin", ADMIN))).status == 200


async def test_another_services_tokens_are_not_made_here(registry: Registry) -> None:
    """The audience of our tokens is this registry alone, also under Harbor's name for it."""
    assert (await get_token(registry.client, "service=docker.io", headers=basic("admin", ADMIN))).status == 400
    answer = await registry.client.get("/service/token?service=harbor-registry", headers=basic("admin", ADMIN))
    assert answer.status == 200
    assert (await registry.client.get("/v2/", headers=bearer(answer))).status == 200


async def test_too_many_failures_are_429(registry: Registry) -> None:
    """Basic on /v2/ and at /token count together; the wait is told; another address is not concerned."""
    for number, path in enumerate(("/v2/", "/token", "/v2/", "/token", "/v2/")):
        assert (await registry.client.get(path, headers=basic("admin", f"guess {number}"))).status == 401
    refused = await registry.client.get("/token", headers=basic("admin", ADMIN))
    assert (refused.status, refused.codes) == (429, ["TOOMANYREQUESTS"])
    assert 0 < int(refused["Retry-After"]) <= 60
    elsewhere = AsgiClient(registry.client._app, address="203.0.113.5")
    assert (await elsewhere.get("/token", headers=basic("admin", ADMIN))).status == 200


async def test_a_changed_password_ends_tokens(registry: Registry) -> None:
    """Writes with an older token are refused at once, as is its refresh token."""
    token = await get_token(
        registry.client, "offline_token=true&scope=repository:t/a:pull,push", headers=basic("admin", ADMIN)
    )
    upload = "/v2/t/a/blobs/uploads/"
    assert (await registry.client.post(upload, headers=bearer(token))).status == 202
    database = registry.app.stores.metadata
    record = await principals.find(database, principals.USER, "admin")
    assert record is not None
    await database.write(lambda tx: principals.set_secret(tx, record.id, ALICE))
    refused = await registry.client.post(upload, headers=bearer(token))
    assert refused.status == 401
    assert 'error="invalid_token"' in refused["WWW-Authenticate"]
    again = await post_token(registry.client, grant_type="refresh_token", refresh_token=token.json()["refresh_token"])
    assert again.status == 401


async def test_the_catalog_shows_what_may_be_read(registry: Registry) -> None:
    """The admin sees everything, an account its projects and the public ones, the anonymous nothing."""
    push = basic("admin", ADMIN)
    for name in ("open", "team", "closed"):
        await _push(registry.client, f"{name}/app", push)
    await registry.app.publish("open")
    await registry.account("alice", ("project:team", "pull"))
    alice = basic("alice", "alice's secret")
    seen = (await registry.client.get("/v2/_catalog", headers=push)).json()["repositories"]
    assert seen == ["closed/app", "open/app", "team/app"]
    seen = (await registry.client.get("/v2/_catalog", headers=alice)).json()["repositories"]
    assert seen == ["open/app", "team/app"]
    refused = await registry.client.get("/v2/_catalog")
    assert refused.status == 401
    assert 'scope="registry:catalog:*"' in refused["WWW-Authenticate"]
    pull = await get_token(registry.client, "scope=repository:team/app:pull", headers=alice)
    assert (await registry.client.get("/v2/_catalog", headers=bearer(pull))).status == 401


async def _push(client: AsgiClient, name: str, headers: dict[str, str]) -> str:
    """Push an empty index as `latest` and return its digest."""
    body = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    sent = {**headers, "Content-Type": "application/vnd.oci.image.index.v1+json"}
    answer = await client.put(f"/v2/{name}/manifests/latest", headers=sent, body=body)
    assert answer.status == 201, answer.body
    return answer["Docker-Content-Digest"]


async def test_no_token_endpoint_where_another_service_has_it(tmp_path: Path) -> None:
    """A registry that issues no tokens has nothing at /token."""
    async with open_app(tmp_path, AppOptions()) as plain:
        assert (await plain.client().get("/token")).status == 404


async def test_cve_2026_27771_private_content_is_never_anonymous(registry: Registry) -> None:
    """Every reading endpoint of a private project answers 401 to the anonymous, for what exists and what does not."""
    digest = await _push(registry.client, "closed/app", basic("admin", ADMIN))
    token = bearer(await get_token(registry.client, "scope=repository:closed/app:pull"))
    for headers in ({}, token):
        for path in (f"blobs/{digest}", f"manifests/{digest}", "manifests/latest", "tags/list", f"referrers/{digest}"):
            for method in ("GET", "HEAD"):
                answer = await registry.client.request(method, f"/v2/closed/app/{path}", headers=headers)
                assert answer.status == 401, (method, path)


async def test_a_grant_taken_back_closes_an_open_registry(tmp_path: Path) -> None:
    """Without `auth` everybody may, by one visible grant; with it removed, nobody may."""
    async with open_app(tmp_path) as plain:
        client = plain.client()
        assert (await client.get("/v2/")).status == 200
        (row,) = await all_grants(plain.stores.metadata)
        await plain.stores.metadata.write(lambda tx: grants.remove(tx, row.id))
        await ensure_compatibility(plain.stores.metadata, None)
        refused = await client.get("/v2/")
        assert refused.status == 401
        assert refused["WWW-Authenticate"].startswith("Basic ")
