"""Who may: credentials, challenges and upload sessions as `/v2/` sees them."""

import base64
from contextvars import copy_context
from typing import Any

import pytest

from entrepot.access.model import Principal
from entrepot.metadata.engine.ballast import Reserve, reserve_of
from entrepot.metadata.engine.sqlite import SqliteDatabase
from tests.http.pushing import NAME, push_image, put_manifest, start_upload
from tests.http.transport import AsgiClient
from tests.support.app import App, Opener, PlainPasswords
from tests.support.manifests import digest_of

CONTENT = b"bytes of a blob"
FINISH = f"?digest={digest_of(CONTENT)}"


@pytest.fixture
async def private(open_registry: Opener) -> App:
    """Give a registry that asks who is there."""
    app: App = await open_registry(signed_in=True)
    return app


@pytest.fixture
async def alice(private: App) -> Principal:
    """Give somebody who may do everything."""
    return await private.account("alice", ("*", "*"))


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "manifests/v1", "pull"),
        ("HEAD", "manifests/v1", "pull"),
        ("PUT", "manifests/v1", "pull,push"),
        ("DELETE", "manifests/v1", "delete"),
        ("GET", f"blobs/{digest_of(CONTENT)}", "pull"),
        ("DELETE", f"blobs/{digest_of(CONTENT)}", "delete"),
        ("POST", "blobs/uploads/", "pull,push"),
        ("PATCH", "blobs/uploads/some-session", "pull,push"),
        ("PUT", "blobs/uploads/some-session", "pull,push"),
        ("GET", "blobs/uploads/some-session", "pull,push"),
        ("DELETE", "blobs/uploads/some-session", "pull,push"),
        ("GET", "tags/list", "pull"),
        ("GET", f"referrers/{digest_of(CONTENT)}", "pull"),
    ],
)
async def test_each_method_asks_for_its_scope(private: App, method: str, path: str, scope: str) -> None:
    """Without a credential every resource of a repository is 401, and the challenge names the scope that is needed."""
    answer = await private.client().request(method, f"/v2/{NAME}/{path}", body=b"")
    assert answer.status == 401
    challenge = answer["WWW-Authenticate"]
    assert (
        challenge == f'Bearer realm="http://registry.test/token",service="entrepot",scope="repository:{NAME}:{scope}"'
    )


async def test_the_realm_follows_our_address(open_registry: Opener) -> None:
    """The realm is absolute, has the prefix, and follows the proxy's word."""
    app = await open_registry(signed_in=True, web={"prefix": "/my/", "relative_urls": True})
    answer = await app.client().get("/my/v2/", headers={"X-Forwarded-Proto": "https"})
    assert 'realm="https://registry.test/my/token"' in answer["WWW-Authenticate"]


async def test_what_may_not_be_read_looks_like_what_is_not_there(private: App, alice: Principal) -> None:
    """A signed-in stranger gets the same answer for an existing and for a missing repository."""
    await push_image(private.basic("alice"), "v1", name="team/secret")
    await private.account("bob")
    bob = private.basic("bob")
    for path in ("manifests/v1", "tags/list", f"blobs/{digest_of(b'{}')}"):
        there = await bob.get(f"/v2/team/secret/{path}")
        missing = await bob.get(f"/v2/team/absent/{path}")
        assert (there.status, missing.status) == (401, 401)
        assert there.body.replace(b"secret", b"absent") == missing.body
        assert 'error="insufficient_scope"' in there["WWW-Authenticate"]


async def test_a_public_project_is_read_by_everybody(private: App, alice: Principal) -> None:
    """Anonymous callers pull from a public project and push nowhere."""
    body = await push_image(private.basic("alice"), "v1")
    anonymous = private.client()
    assert (await anonymous.get(f"/v2/{NAME}/manifests/v1")).status == 401
    await private.publish("team")
    assert (await anonymous.get(f"/v2/{NAME}/manifests/v1")).body == body
    assert (await put_manifest(anonymous, body, "v2")).status == 401


async def test_a_token_is_limited_to_its_scope(private: App, alice: Principal) -> None:
    """A token for pulls does not push, whoever it belongs to."""
    body = await push_image(private.basic("alice"), "v1")
    client = await private.bearer(alice, f"repository:{NAME}:pull")
    assert (await client.get(f"/v2/{NAME}/manifests/v1")).body == body
    refused = await put_manifest(client, body, "v2")
    assert refused.status == 401
    assert f'scope="repository:{NAME}:pull,push",error="insufficient_scope"' in refused["WWW-Authenticate"]


async def test_an_expired_token_is_refused_with_the_scope(private: App, alice: Principal) -> None:
    """Clients take the scope of their next token from the answer to the old one."""
    client = await private.bearer(alice, f"repository:{NAME}:pull,push")
    private.clock[0] += 3600
    answer = await client.post(f"/v2/{NAME}/blobs/uploads/")
    assert answer.status == 401
    assert f'scope="repository:{NAME}:pull,push",error="invalid_token"' in answer["WWW-Authenticate"]


async def test_an_upload_outlasts_its_token(private: App, alice: Principal) -> None:
    """An upload that was authorised when it was opened may finish with the token of then; a new one may not begin."""
    client = await private.bearer(alice, f"repository:{NAME}:pull,push")
    location = await start_upload(client)
    private.clock[0] += 3600
    assert (await client.patch(location, body=CONTENT[:5])).status == 202
    assert (await client.get(location))["Range"] == "0-4"
    assert (await client.put(location + FINISH, body=CONTENT[5:])).status == 201
    assert (await client.post(f"/v2/{NAME}/blobs/uploads/")).status == 401
    assert (await client.get(f"/v2/{NAME}/blobs/{digest_of(CONTENT)}")).status == 401


async def test_an_upload_does_not_outlast_its_token_for_ever(private: App, alice: Principal) -> None:
    """After a day the old token is of no use for the upload either."""
    client = await private.bearer(alice, f"repository:{NAME}:pull,push")
    location = await start_upload(client)
    private.clock[0] += 25 * 3600
    assert (await client.patch(location, body=CONTENT)).status == 401


async def test_a_session_goes_on_with_another_credential_of_the_same_person(private: App, alice: Principal) -> None:
    """Basic, and a newer token, continue what an older token began."""
    location = await start_upload(await private.bearer(alice, f"repository:{NAME}:pull,push"))
    assert (await private.basic("alice").patch(location, body=CONTENT)).status == 202
    newer = await private.bearer(alice, f"repository:{NAME}:pull,push")
    assert (await newer.put(location + FINISH)).status == 201


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_cve_2026_32589_a_session_belongs_to_its_principal(private: App, alice: Principal, method: str) -> None:
    """Somebody else who may push to the same repository does not even see the session."""
    mallory = await private.account("mallory", ("*", "*"))
    location = await start_upload(private.basic("alice"))
    for stranger in (private.basic("mallory"), await private.bearer(mallory, f"repository:{NAME}:pull,push")):
        answer = await stranger.request(method, location + FINISH, body=CONTENT)
        assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert (await private.basic("alice").get(location)).status == 204


async def test_a_right_that_was_taken_ends_the_upload(private: App, alice: Principal) -> None:
    """A token that pulls only does not continue an upload, although its bearer opened it."""
    location = await start_upload(private.basic("alice"))
    reader = await private.bearer(alice, f"repository:{NAME}:pull")
    assert (await reader.patch(location, body=CONTENT)).status == 401


async def test_pushing_makes_projects_only_for_those_who_may(private: App, alice: Principal) -> None:
    """A push to a project that does not exist creates it for the admin, and is refused for others."""
    await private.account("bob", ("repositories:new/**", "pull,push"))
    refused = await private.basic("bob").post("/v2/new/app/blobs/uploads/")
    assert refused.status == 404
    assert refused.codes == ["NAME_UNKNOWN"]
    assert (await private.basic("alice").post("/v2/new/app/blobs/uploads/")).status == 202


@pytest.mark.parametrize("value", ["Basic", "Basic !!!", "Basic YQ==", "Bearer", "Digest x", "Basic \xff", "x" * 2000])
async def test_credentials_that_cannot_be_read_are_401(private: App, value: str) -> None:
    """A malformed Authorization header is a wrong credential, never an error of ours."""
    answer = await AsgiClient(private.application, headers={"Authorization": value}).get("/v2/")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])


async def test_only_who_may_delete_finds_room_on_a_full_disk(
    private: App, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked and counted before, and for strangers for ever, leaves the reserve to deletions."""
    await private.account("nobody")
    client, no_rights = private.basic("alice"), private.basic("nobody")
    guess = base64.b64encode(b"alice:a wrong guess").decode()
    stranger = private.client(headers={"Authorization": f"Basic {guess}"})
    await push_image(client, "v1", b"layer")
    session = await start_upload(client)
    uses: list[tuple[str, Reserve]] = []
    write, verify = SqliteDatabase.write, PlainPasswords.verify

    async def noted(self: SqliteDatabase, work: Any, *, name: str = "") -> Any:
        uses.append((name, reserve_of(copy_context())))
        return await write(self, work, name=name)

    async def asked(self: PlainPasswords, basic: Any, client: str) -> Principal:
        uses.append(("password", reserve_of(copy_context())))
        return await verify(self, basic, client)

    monkeypatch.setattr(SqliteDatabase, "write", noted)
    monkeypatch.setattr(PlainPasswords, "verify", asked)
    paths = (f"/v2/{NAME}/manifests/v1", session, "/api/v2.0/projects/team/repositories/app")
    for path in paths:
        for refused in (stranger, no_rights):
            assert (await refused.delete(path)).status in {401, 403, 404}, path
    assert uses == [("password", Reserve.KEPT)] * 6
    for path in paths:
        uses.clear()
        assert (await client.delete(path)).status in {200, 202, 204}, path
        assert uses[0] == ("password", Reserve.KEPT)
        assert {use for _, use in uses[1:]} == {Reserve.RELEASED}, (path, uses)
    assert reserve_of(copy_context()) is Reserve.KEPT
