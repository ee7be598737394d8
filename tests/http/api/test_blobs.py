"""Why a blob or a manifest is still stored: `/blobs/{digest}/why`."""

from __future__ import annotations

from tests.http.pushing import push_image
from tests.support.api import Api
from tests.support.app import App
from tests.support.manifests import digest_of


async def test_why_something_is_kept(app: App, admin: Api) -> None:
    """A layer by the manifest that needs it, with its repository and tags; a manifest by its tags."""
    pusher = await app.account("pusher", ("*", "*"))
    client = await app.bearer(pusher, "repository:team/app:pull,push")
    body = await push_image(client, "v1", b"layer", name="team/app")
    layer = await admin.found(f"/blobs/{digest_of(b'layer')}/why")
    assert (layer["size"], layer["state"], layer["repositories"], layer["more"]) == (5, "live", ["team/app"], False)
    (reason,) = layer["reasons"]
    assert (reason["reason"], reason["digest"], reason["role"]) == ("manifest", digest_of(body), "layer")
    assert (reason["repository"], reason["tags"], reason["until"]) == ("team/app", ["v1"], None)
    manifest = await admin.found(f"/blobs/{digest_of(body)}/why")
    assert [(reason["reason"], reason["tags"]) for reason in manifest["reasons"]] == [("tag", ["v1"])]


async def test_a_grace_says_when_it_ends(app: App, admin: Api) -> None:
    """Of a blob that no manifest needs."""
    client = await app.bearer(await app.account("pusher", ("*", "*")), "repository:team/app:pull,push,delete")
    body = await push_image(client, "v1", b"layer", name="team/app")
    assert (await client.delete(f"/v2/team/app/manifests/{digest_of(body)}")).status == 202
    (reason,) = (await admin.found(f"/blobs/{digest_of(b'layer')}/why"))["reasons"]
    assert reason["reason"] == "grace"
    assert reason["until"].startswith("20")


async def test_what_is_not_stored_and_what_is_no_digest(admin: Api) -> None:
    """404 and 400, with what is wrong."""
    assert (await admin.get(f"/blobs/{digest_of(b'nothing')}/why")).status == 404
    refused = await admin.get("/blobs/latest/why")
    assert refused.status == 400
    assert "digest" in refused.json()["errors"][0]["message"]


async def test_only_whoever_looks_after_collection_is_told(nobody: Api, anonymous: Api) -> None:
    """It names repositories that others may not see."""
    path = f"/blobs/{digest_of(b'x')}/why"
    assert (await nobody.get(path)).status == 403
    assert (await anonymous.get(path)).status == 401
