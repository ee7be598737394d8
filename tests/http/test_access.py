"""Who may: credentials, challenges and upload sessions as `/v2/` sees them."""

import pytest

from entrepot.access.model import Principal
from tests.http.pushing import NAME, push_image, put_manifest, start_upload
from tests.http.transport import AsgiClient
from tests.support.app import App, Opener
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
