"""Cross-repository mounts (end-11), and who may see what through them."""

import pytest

from tests.http.pushing import push_blob
from tests.http.transport import Answer, AsgiClient
from tests.support.app import App, Opener
from tests.support.manifests import digest_of

CONTENT = b"a layer that several repositories share"
DIGEST = digest_of(CONTENT)


async def mount(client: AsgiClient, target: str, source: str | None, digest: str = DIGEST) -> Answer:
    """Ask for a mount."""
    return await client.post(f"/v2/{target}/blobs/uploads/?mount={digest}" + (f"&from={source}" if source else ""))


@pytest.mark.parametrize("source", ["team/base", None])
async def test_mount(client: AsgiClient, source: str | None) -> None:
    """A blob of another repository becomes ours without being sent, also when the client does not know where it is."""
    await push_blob(client, CONTENT, "team/base")
    answer = await mount(client, "team/app", source)
    assert (answer.status, answer["Docker-Content-Digest"]) == (201, DIGEST)
    assert (await client.get(answer["Location"])).body == CONTENT


@pytest.mark.parametrize("source", ["team/base", "team/nowhere", "not a name", None])
async def test_a_missing_blob_opens_a_session(client: AsgiClient, source: str | None) -> None:
    """When there is nothing to mount, the answer is 202 and the client pushes."""
    await push_blob(client, b"another", "team/base")
    source = source and source.replace(" ", "%20")
    answer = await mount(client, "team/app", source)
    assert answer.status == 202
    assert (await client.put(f"{answer['Location']}&digest={DIGEST}", body=CONTENT)).status == 201


@pytest.mark.parametrize("wanted", ["bad", "", "sha256:00", "md5:abc"])
async def test_a_mount_of_what_is_no_digest_opens_a_session(client: AsgiClient, wanted: str) -> None:
    """As with registry:2, the client can still send the blob that it could not name."""
    answer = await mount(client, "team/app", "team/base", wanted)
    assert answer.status == 202
    assert (await client.put(f"{answer['Location']}&digest={DIGEST}", body=CONTENT)).status == 201


@pytest.fixture
async def private(open_registry: Opener) -> App:
    """Give a registry with a private blob of alice's, and bob who has rights of his own only."""
    app: App = await open_registry(signed_in=True)
    await app.account("alice", ("*", "*"))
    await app.account("bob", ("repositories:bob/**", "pull,push,create"))
    await push_blob(app.basic("alice"), CONTENT, "secret/base")
    return app


@pytest.mark.parametrize("source", ["secret/base", None])
async def test_cve_2024_39897_nobody_mounts_what_they_may_not_read(private: App, source: str | None) -> None:
    """A mount of an unreadable blob looks like a mount of a missing one: 202, and no byte is there."""
    bob = private.basic("bob")
    there = await mount(bob, "bob/app", source)
    missing = await mount(bob, "bob/app", source, digest_of(b"nothing has this"))
    assert (there.status, missing.status) == (202, 202)
    assert [name for name, _ in there.headers] == [name for name, _ in missing.headers]
    assert (await bob.head(f"/v2/bob/app/blobs/{DIGEST}")).status == 404
    assert (await bob.get(f"/v2/secret/base/blobs/{DIGEST}")).status == 401


async def test_a_token_without_the_source_is_told_both_scopes(private: App) -> None:
    """Whose account may read the source but whose token does not say so gets 401 naming both scopes."""
    alice = await private.account("carol", ("*", "*"))
    client = await private.bearer(alice, "repository:team/app:pull,push")
    answer = await mount(client, "team/app", "secret/base")
    assert answer.status == 401
    assert 'scope="repository:team/app:pull,push repository:secret/base:pull"' in answer["WWW-Authenticate"]
    wider = await private.bearer(alice, "repository:team/app:pull,push repository:secret/base:pull")
    assert (await mount(wider, "team/app", "secret/base")).status == 201


async def test_a_token_that_can_get_no_better_opens_a_session(private: App) -> None:
    """Whose account may not read the source either gets 202: asking for another token would be in vain."""
    dave = await private.account("dave", ("repositories:dave/**", "pull,push,create"))
    client = await private.bearer(dave, "repository:dave/app:pull,push")
    assert (await mount(client, "dave/app", "secret/base")).status == 202


async def test_a_public_source_may_be_mounted_by_everybody(private: App) -> None:
    """What everybody may pull, everybody who may push elsewhere may mount."""
    await private.publish("secret")
    assert (await mount(private.basic("bob"), "bob/app", "secret/base")).status == 201


async def test_anonymous_callers_mount_nothing(private: App) -> None:
    """Without a credential a mount is a push, and refused."""
    answer = await mount(private.client(), "bob/app", "secret/base")
    assert (answer.status, answer.codes) == (401, ["UNAUTHORIZED"])
    assert 'scope="repository:bob/app:pull,push"' in answer["WWW-Authenticate"]


async def test_a_mount_without_a_source_uses_the_rights_of_the_account(private: App) -> None:
    """The client cannot have asked for a scope on a place it does not know; so its token need not name that place."""
    robin = await private.account("robin", ("*", "*"))
    client = await private.bearer(robin, "repository:team/app:pull,push")
    assert (await mount(client, "team/app", None)).status == 201
