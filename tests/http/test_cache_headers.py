"""What caches between us and clients may keep: bytes for ever, names never, and nothing private."""

from __future__ import annotations

import pytest

from tests.http.pushing import NAME, push_blob, push_image
from tests.http.transport import AsgiClient
from tests.support.app import Opener
from tests.support.manifests import digest_of

FOR_EVER = "max-age=31536000, immutable"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_bytes_of_a_digest_are_kept_and_names_are_asked_again(client: AsgiClient, method: str) -> None:
    """A blob and a manifest by its digest never change; what a tag names is asked for again, cheaply by its ETag."""
    digest = digest_of(await push_image(client, "v1", b"layer"))
    blob = await push_blob(client, b"layer")
    for path, life in (
        (f"blobs/{blob}", FOR_EVER),
        (f"manifests/{digest}", FOR_EVER),
        ("manifests/v1", "no-cache"),
    ):
        answer = await client.request(method, f"/v2/{NAME}/{path}")
        assert (answer.status, answer["Cache-Control"]) == (200, life)
        again = await client.request(method, f"/v2/{NAME}/{path}", headers={"If-None-Match": answer["ETag"]})
        assert (again.status, again["Cache-Control"]) == (304, life)


async def test_what_is_not_for_everybody_is_private(open_registry: Opener) -> None:
    """A manifest that was shown to somebody with a name is kept by their client alone; a public one by all."""
    app = await open_registry(signed_in=True)
    owner = await app.account("owner", ("project:project", "pull,push"))
    pusher = await app.bearer(owner, "repository:project/app:pull,push")
    digest = digest_of(await push_image(pusher, "v1", b"layer", name="project/app"))
    path = f"/v2/project/app/manifests/{digest}"
    assert (await pusher.get(path))["Cache-Control"] == f"private, {FOR_EVER}"
    await app.publish("project")
    assert (await app.client().get(path))["Cache-Control"] == FOR_EVER
    assert (await pusher.get(path))["Cache-Control"] == f"private, {FOR_EVER}"


@pytest.mark.parametrize(
    "path",
    [
        f"/v2/{NAME}/tags/list",
        "/v2/_catalog",
        f"/v2/{NAME}/referrers/{digest_of(b'none')}",
        f"/v2/{NAME}/manifests/absent",
        f"/v2/{NAME}/blobs/{digest_of(b'none')}",
    ],
)
async def test_lists_and_what_is_not_there_are_never_kept(client: AsgiClient, path: str) -> None:
    """Lists change with every push and with who asks, and what is not there may be there the next time."""
    await push_image(client, "v1", b"layer")
    assert (await client.get(path))["Cache-Control"] == "no-store"
