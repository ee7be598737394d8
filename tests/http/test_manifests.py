"""Manifests: pull, push, delete (end-3, end-7, end-9)."""

import json
from collections.abc import Iterator

import pytest

from entrepot.oci import media_type as media_types
from tests.http.pushing import NAME, push_blob, push_image, put_manifest
from tests.http.transport import AsgiClient
from tests.support.app import Opener
from tests.support.manifests import descriptor, digest_of, image, index

MANIFESTS = f"/v2/{NAME}/manifests"
MIB = 1024 * 1024


async def test_push_and_pull_by_tag_and_digest(client: AsgiClient) -> None:
    """A manifest comes back byte for byte, with its type, digest and ETag; HEAD tells the same."""
    body = await push_image(client, "v1", b"layer")
    for reference in ("v1", digest_of(body)):
        got, head = await client.get(f"{MANIFESTS}/{reference}"), await client.head(f"{MANIFESTS}/{reference}")
        assert (got.status, got.body, head.status) == (200, body, 200)
        for answer in (got, head):
            assert answer["Content-Type"] == media_types.OCI_MANIFEST
            assert answer["Docker-Content-Digest"] == digest_of(body)
            assert answer["Content-Length"] == str(len(body))
            assert answer["ETag"] == f'"{digest_of(body)}"'


async def test_the_answer_to_a_push(client: AsgiClient) -> None:
    """PUT answers 201 with a Location that can be pulled, the digest, and no OCI-Subject or OCI-Tag unasked."""
    await push_blob(client, b"{}")
    body = image(b"{}")
    answer = await put_manifest(client, body, "v1")
    assert (answer.status, answer["Docker-Content-Digest"]) == (201, digest_of(body))
    assert (await client.get(answer["Location"])).body == body
    assert "OCI-Subject" not in answer
    assert "OCI-Tag" not in answer


@pytest.mark.parametrize("quote", ['"{}"', "{}", 'W/"{}"', '"x", "{}"'])
async def test_a_known_manifest_is_not_sent_again(client: AsgiClient, quote: str) -> None:
    """If-None-Match with the digest answers 304 to GET and HEAD."""
    body = await push_image(client, "v1")
    headers = {"If-None-Match": quote.format(digest_of(body))}
    for method in ("GET", "HEAD"):
        answer = await client.request(method, f"{MANIFESTS}/v1", headers=headers)
        assert (answer.status, answer.body, answer["Docker-Content-Digest"]) == (304, b"", digest_of(body))


@pytest.mark.parametrize(
    "accept", [[], ["*/*"], [media_types.OCI_MANIFEST], ["application/*"], ["text/html", media_types.OCI_MANIFEST]]
)
async def test_accept_that_fits(client: AsgiClient, accept: list[str]) -> None:
    """Nothing, anything or a list with the type get the manifest as stored."""
    body = await push_image(client, "v1")
    answer = await client.get(f"{MANIFESTS}/v1", headers=[("Accept", value) for value in accept])
    assert (answer.body, "Warning" in answer) == (body, False)


async def test_accept_that_does_not_fit(client: AsgiClient) -> None:
    """A client that does not list the type gets the bytes of the tag's digest all the same, and a warning."""
    body = await push_image(client, "v1")
    answer = await client.get(f"{MANIFESTS}/v1", headers={"Accept": media_types.DOCKER_MANIFEST})
    assert (answer.status, answer.body) == (200, body)
    assert answer["Warning"].startswith('299 - "The manifest is of type application/vnd.oci.image.manifest')


@pytest.mark.parametrize("reference", ["missing", ".INVALID", "a" * 129, "sha256:" + "0" * 64, ""])
async def test_an_unknown_manifest(client: AsgiClient, reference: str) -> None:
    """An unknown tag or digest, and a tag that cannot be, are MANIFEST_UNKNOWN for a pull."""
    await push_image(client, "v1")
    answer = await client.get(f"{MANIFESTS}/{reference}")
    assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])


async def test_an_unknown_repository(client: AsgiClient) -> None:
    """A pull from a repository that does not exist is 404."""
    assert (await client.get("/v2/no/such/manifests/latest")).status == 404


async def test_a_bad_digest_is_400(client: AsgiClient) -> None:
    """What has a colon and is no digest is DIGEST_INVALID."""
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = await client.request(method, f"{MANIFESTS}/sha256:baddigeststring", body=b"{}")
        assert answer.status == 400


async def test_several_tags_in_one_push(client: AsgiClient) -> None:
    """`?tag=` sets more tags, and OCI-Tag names each one that was set (end-7b)."""
    await push_blob(client, b"{}")
    body = image(b"{}")
    wanted = [f"t{number}" for number in range(12)]
    query = "&".join(f"tag={tag}" for tag in wanted)
    answer = await put_manifest(client, body, f"{digest_of(body)}?{query}")
    assert answer.status == 201
    assert answer.values("OCI-Tag") == wanted
    for tag in wanted:
        assert (await client.head(f"{MANIFESTS}/{tag}"))["Docker-Content-Digest"] == digest_of(body)


async def test_a_bad_tag_sets_none(client: AsgiClient) -> None:
    """One tag that is none refuses the push, and too many do: nothing of it stays."""
    await push_blob(client, b"{}")
    body = image(b"{}")
    answer = await put_manifest(client, body, f"{digest_of(body)}?tag=good&tag=..bad")
    assert (answer.status, answer.codes) == (400, ["TAG_INVALID"])
    assert (await client.head(f"{MANIFESTS}/good")).status == 404
    many = "&".join(f"tag=t{number}" for number in range(101))
    assert (await put_manifest(client, body, f"{digest_of(body)}?{many}")).status == 414


async def test_a_push_under_a_wrong_tag_or_digest(client: AsgiClient) -> None:
    """PUT refuses what cannot be a tag, and bytes of another digest than the path's."""
    await push_blob(client, b"{}")
    body = image(b"{}")
    assert (await put_manifest(client, body, "-tag")).codes == ["TAG_INVALID"]
    answer = await put_manifest(client, body + b"  ", digest_of(body))
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])


async def test_sha512(client: AsgiClient) -> None:
    """A manifest can be pushed and pulled by its sha512 digest."""
    await push_blob(client, b"{}")
    body = image(b"{}")
    digest = digest_of(body, "sha512")
    answer = await put_manifest(client, body, digest)
    assert (answer.status, answer["Docker-Content-Digest"]) == (201, digest)
    assert (await client.get(f"{MANIFESTS}/{digest}"))["Docker-Content-Digest"] == digest


async def test_what_a_manifest_needs_must_be_there(client: AsgiClient) -> None:
    """Missing blobs are MANIFEST_BLOB_UNKNOWN, one error for each; missing children of an index too."""
    body = image(b"{}", b"one", b"two")
    answer = await put_manifest(client, body, "v1")
    assert (answer.status, set(answer.codes)) == (400, {"MANIFEST_BLOB_UNKNOWN"})
    missing = {error["detail"]["digest"] for error in answer.json()["errors"]}
    assert missing == {digest_of(b"{}"), digest_of(b"one"), digest_of(b"two")}
    child = descriptor(body, media_types.OCI_MANIFEST)
    answer = await put_manifest(client, index(child), "v1", media_type=media_types.OCI_INDEX)
    assert answer.codes == ["MANIFEST_BLOB_UNKNOWN"]


async def test_sparse_indexes_when_allowed(open_registry: Opener) -> None:
    """With sparse indexes on, an index may list manifests that are not here."""
    client = (await open_registry(registry={"requires_platform": lambda _architecture, _os: False})).client()
    child = descriptor(b"somewhere else", media_types.OCI_MANIFEST)
    answer = await put_manifest(client, index(child), "v1", media_type=media_types.OCI_INDEX)
    assert answer.status == 201


async def test_foreign_layers_need_not_be_there(client: AsgiClient) -> None:
    """Layers that may not be distributed do not block a manifest."""
    await push_blob(client, b"{}")
    foreign = {**descriptor(b"windows"), "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}
    body = image(b"{}", layers=[foreign])
    assert (await put_manifest(client, body, "v1")).status == 201
    assert (await client.get(f"{MANIFESTS}/v1")).body == body


async def test_the_subject_is_confirmed(client: AsgiClient) -> None:
    """A push with a subject answers OCI-Subject, also while nobody has the subject."""
    await push_blob(client, b"{}")
    subject = descriptor(b"not pushed yet", media_types.OCI_MANIFEST)
    body = image(b"{}", subject=subject, artifactType="application/x-test")
    assert (await put_manifest(client, body, digest_of(body)))["OCI-Subject"] == subject["digest"]


async def test_a_manifest_of_the_largest_size(client: AsgiClient) -> None:
    """Exactly 4 MiB are taken, as the specification wants at least; one byte more is 413."""
    await push_blob(client, b"{}")
    empty = image(b"{}", annotations={"x": ""})
    largest = image(b"{}", annotations={"x": "y" * (4 * MIB - len(empty))})
    assert len(largest) == 4 * MIB
    assert (await put_manifest(client, largest, "big")).status == 201
    assert (await client.get(f"{MANIFESTS}/big")).body == largest
    answer = await put_manifest(client, largest + b" ", "bigger")
    assert (answer.status, answer.codes) == (413, ["MANIFEST_INVALID"])


async def test_cve_2017_11468_an_endless_manifest_is_cut(client: AsgiClient) -> None:
    """A chunked body without a length is refused soon after the limit, not read to its end."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    answer = await client.put(f"{MANIFESTS}/v1", body=endless())
    assert (answer.status, answer.codes) == (413, ["MANIFEST_INVALID"])
    assert sent <= 4 * MIB + 65536


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"", media_types.OCI_MANIFEST),
        (b"[]", media_types.OCI_MANIFEST),
        (b"{", media_types.OCI_MANIFEST),
        (b"\xef\xbb\xbf" + image(b"{}"), media_types.OCI_MANIFEST),
        (image(b"{}") + b"x", media_types.OCI_MANIFEST),
        (image(b"{}").replace(b'"schemaVersion"', b'"mediaType":"x","schemaVersion"', 1), media_types.OCI_MANIFEST),
        (image(b"{}", manifests=[]), media_types.OCI_MANIFEST),
        (image(b"{}"), media_types.OCI_INDEX),
        (image(b"{}"), media_types.DOCKER_MANIFEST),
        (index(), media_types.OCI_MANIFEST),
        (b"[" * 200_000, media_types.OCI_MANIFEST),
        (b'{"a":' * 200_000, media_types.OCI_MANIFEST),
    ],
    ids=[
        "empty", "list", "cut", "bom", "trailing", "duplicate-keys", "layers-and-manifests", "image-as-index",
        "oci-as-docker", "index-as-image", "deep-lists", "deep-objects",
    ],
)  # fmt: skip
async def test_cve_2021_41190_ambiguous_manifests_are_refused(client: AsgiClient, body: bytes, media_type: str) -> None:
    """What two parsers could read differently is MANIFEST_INVALID, however it is wrapped."""
    await push_blob(client, b"{}")
    answer = await put_manifest(client, body, "v1", media_type=media_type)
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])
    assert (await client.head(f"{MANIFESTS}/v1")).status == 404


async def test_schema_1_is_refused_with_advice(client: AsgiClient) -> None:
    """The oldest manifests are not taken, and the message says what to do."""
    body = json.dumps({"schemaVersion": 1, "name": NAME, "tag": "v1", "fsLayers": [], "history": []}).encode()
    answer = await put_manifest(client, body, "v1", media_type=media_types.DOCKER_SCHEMA1_SIGNED)
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])
    assert "schema" in answer.json()["errors"][0]["message"].lower()


async def test_delete_a_tag(client: AsgiClient) -> None:
    """Deleting a tag leaves the manifest and its other tags; it is gone at once (end-9)."""
    body = await push_image(client, "v1")
    await put_manifest(client, body, "v2")
    assert (await client.delete(f"{MANIFESTS}/v1")).status == 202
    assert (await client.head(f"{MANIFESTS}/v1")).status == 404
    assert (await client.head(f"{MANIFESTS}/v2")).status == 200
    assert (await client.delete(f"{MANIFESTS}/v1")).codes == ["MANIFEST_UNKNOWN"]


async def test_delete_a_manifest(client: AsgiClient) -> None:
    """Deleting by digest takes all tags along."""
    body = await push_image(client, "v1")
    assert (await client.delete(f"{MANIFESTS}/{digest_of(body)}")).status == 202
    for reference in ("v1", digest_of(body)):
        assert (await client.head(f"{MANIFESTS}/{reference}")).status == 404
    assert (await client.get(f"/v2/{NAME}/tags/list")).json()["tags"] == []


async def test_cve_2026_41888_nothing_is_deleted_when_deleting_is_off(open_registry: Opener) -> None:
    """With `storage.delete.enabled: false`, tag, manifest and blob deletes answer 405 and delete nothing."""
    client = (await open_registry(registry={"delete_enabled": False})).client()
    body = await push_image(client, "v1")
    spare = await push_blob(client, b"spare")
    for path in (f"{MANIFESTS}/v1", f"{MANIFESTS}/{digest_of(body)}", f"/v2/{NAME}/blobs/{spare}"):
        answer = await client.delete(path)
        assert (answer.status, answer.codes) == (405, ["UNSUPPORTED"])
        assert "DELETE" not in answer["Allow"]
        assert (await client.head(path)).status == 200


async def test_a_read_only_registry_takes_nothing(open_registry: Opener) -> None:
    """While the registry is read-only, pulls go on and every write answers 405 with the reason."""
    read_only = [False]
    client = (await open_registry(registry={"read_only": lambda: read_only[0]})).client()
    body = await push_image(client, "v1")
    read_only[0] = True
    assert (await client.get(f"{MANIFESTS}/v1")).body == body
    for answer in (
        await client.post(f"/v2/{NAME}/blobs/uploads/"),
        await put_manifest(client, body, "v2"),
        await client.delete(f"{MANIFESTS}/v1"),
    ):
        assert (answer.status, answer.codes) == (405, ["UNSUPPORTED"])
        assert "read-only" in answer.json()["errors"][0]["message"]
