"""Lists: tags, catalog, referrers, with their paging (end-8, end-12)."""

import re
import tracemalloc
from itertools import chain
from typing import Any

import pytest

from entrepot.oci import media_type as media_types
from tests.http.pushing import NAME, push_blob, push_image, put_manifest
from tests.http.transport import Answer, AsgiClient
from tests.support.app import Opener
from tests.support.manifests import descriptor, digest_of, image, index

TAGS = f"/v2/{NAME}/tags/list"
LISTS = [TAGS, "/v2/_catalog", f"/v2/{NAME}/referrers/sha256:{'0' * 64}"]
ABSURD = ["-1", "abc", "1e18", "%2B1", "1.5", "0x10", "", "%20", "%D9%A1"]


def next_page(answer: Answer) -> str | None:
    """Return the target of the Link to the next page."""
    for link in answer.values("Link"):
        match = re.fullmatch(r'<(.+)>; rel="next"', link)
        assert match, link
        return match[1]
    return None


async def all_pages(client: AsgiClient, target: str | None, key: str) -> list[list[Any]]:
    """Follow the links and return the pages."""
    pages = []
    while target is not None:
        answer = await client.get(target)
        assert answer.status == 200
        pages.append(answer.json()[key])
        target = next_page(answer)
    return pages


@pytest.fixture
async def tagged(client: AsgiClient) -> AsgiClient:
    """Give a client of a registry with a repository of some tags."""
    body = await push_image(client, "v1")
    for tag in ("v10", "v2", "V3", "_x", "latest"):
        await put_manifest(client, body, tag)
    return client


async def test_tags_come_in_bytewise_order(tagged: AsgiClient) -> None:
    """All tags in ASCII order, with the repository's name and no Link."""
    answer = await tagged.get(TAGS)
    assert answer.json() == {"name": NAME, "tags": ["V3", "_x", "latest", "v1", "v10", "v2"]}
    assert "Link" not in answer


async def test_a_repository_has_tags_from_its_first_manifest_on(open_registry: Opener) -> None:
    """As with registry:2, blobs alone make no repository that lists tags; one whose tags all went lists none."""
    client = (await open_registry(registry={"delete_enabled": True})).client()
    await push_blob(client, b"{}")
    answer = await client.get(TAGS)
    assert (answer.status, answer.codes, answer.json()["errors"][0]["detail"]) == (
        404,
        ["NAME_UNKNOWN"],
        {"name": NAME},
    )
    body = await push_image(client, digest_of(image(b"{}")))
    assert (await client.get(TAGS)).json() == {"name": NAME, "tags": []}
    await put_manifest(client, body, "v1")
    assert (await client.delete(f"/v2/{NAME}/manifests/{digest_of(body)}")).status == 202
    assert (await client.get(TAGS)).json() == {"name": NAME, "tags": []}


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 7])
async def test_tags_in_pages(tagged: AsgiClient, size: int) -> None:
    """Following the links gives each tag once, and the last page has no link."""
    pages = await all_pages(tagged, f"{TAGS}?n={size}", "tags")
    assert list(chain(*pages)) == ["V3", "_x", "latest", "v1", "v10", "v2"]
    assert all(len(page) == size for page in pages[:-1])


async def test_tags_after_a_name(tagged: AsgiClient) -> None:
    """`last` need not be a tag that exists."""
    assert (await tagged.get(f"{TAGS}?last=v1")).json()["tags"] == ["v10", "v2"]
    assert (await tagged.get(f"{TAGS}?last=v0")).json()["tags"] == ["v1", "v10", "v2"]
    assert (await tagged.get(f"{TAGS}?last=zzz")).json()["tags"] == []


async def test_a_page_of_nothing(tagged: AsgiClient) -> None:
    """`n=0` is an empty list without a Link."""
    answer = await tagged.get(f"{TAGS}?n=0")
    assert (answer.status, answer.json()["tags"], answer.values("Link")) == (200, [], [])


async def test_large_pages_of_tags_are_clamped(open_registry: Opener) -> None:
    """More than `tags.maxtags` are given in pages of that size, whatever was asked for."""
    client = (await open_registry(web={"tags_max": 2})).client()
    body = await push_image(client, "a")
    for tag in ("b", "c"):
        await put_manifest(client, body, tag)
    for query in ("", "?n=3", "?n=2147483648", "?n=1000000000000000000"):
        assert await all_pages(client, TAGS + query, "tags") == [["a", "b"], ["c"]]


@pytest.mark.parametrize("path", LISTS)
async def test_cve_2023_2253_absurd_page_sizes_are_refused(tagged: AsgiClient, path: str) -> None:
    """What is no plain number is PAGINATION_NUMBER_INVALID in every list."""
    for size in ABSURD:
        answer = await tagged.get(f"{path}?n={size}")
        assert (answer.status, answer.codes) == (400, ["PAGINATION_NUMBER_INVALID"]), size


@pytest.mark.parametrize("path", LISTS)
async def test_cve_2023_2253_a_large_page_costs_no_memory(tagged: AsgiClient, path: str) -> None:
    """A page size never allocates: it is capped, or refused by the catalog."""
    for size in ("2147483648", "1000000000000000000", "9" * 400):
        tracemalloc.start()
        answer = await tagged.get(f"{path}?n={size}")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert answer.status == (400 if path == "/v2/_catalog" else 200)
        assert peak < 5_000_000


@pytest.mark.parametrize("path", LISTS[:2])
async def test_absurd_starting_points_are_refused(tagged: AsgiClient, path: str) -> None:
    """What can be no entry of a list is 400, never an error of ours."""
    for last in ("%00", "a%0ab", "%ff%00", "x" * 2000):
        assert (await tagged.get(f"{path}?last={last}")).status == 400, last


async def test_tags_of_an_unknown_repository(client: AsgiClient) -> None:
    """A repository that does not exist is NAME_UNKNOWN, one with a bad name NAME_INVALID."""
    answer = await client.get("/v2/no/such/tags/list")
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])
    for name in ("UPPER", "a" * 256, "-a", "a/-/b"):
        answer = await client.get(f"/v2/{name}/tags/list")
        assert (answer.status, answer.codes) == (400, ["NAME_INVALID"]), name


@pytest.fixture
async def filled(client: AsgiClient) -> AsgiClient:
    """Give a client of a registry with some repositories."""
    for name in ("b/x", "a-b/x", "a/b", "a/b-c/d", "z"):
        await push_image(client, "v1", name=name)
    return client


async def test_the_catalog_is_ordered_by_path_component(filled: AsgiClient) -> None:
    """`/` sorts before every other character, as registry:2 walks its folders."""
    answer = await filled.get("/v2/_catalog")
    assert answer.json() == {"repositories": ["a/b", "a/b-c/d", "a-b/x", "b/x", "z"]}
    assert "Link" not in answer


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_the_catalog_in_pages(filled: AsgiClient, size: int) -> None:
    """Following the links gives each repository once."""
    pages = await all_pages(filled, f"/v2/_catalog?n={size}", "repositories")
    assert list(chain(*pages)) == ["a/b", "a/b-c/d", "a-b/x", "b/x", "z"]


async def test_catalog_limits(filled: AsgiClient) -> None:
    """`n=0` is empty, the largest size is allowed and one more is an error, as in registry:2."""
    assert (await filled.get("/v2/_catalog?n=0")).json() == {"repositories": []}
    assert (await filled.get("/v2/_catalog?n=1000")).status == 200
    answer = await filled.get("/v2/_catalog?n=1001")
    assert (answer.status, answer.codes) == (400, ["PAGINATION_NUMBER_INVALID"])


async def test_the_catalog_shows_what_the_caller_may_read(open_registry: Opener) -> None:
    """Everybody sees their own projects and the public ones; anonymous callers are asked to sign in."""
    app = await open_registry(signed_in=True)
    await app.account("alice", ("*", "*"))
    await app.account("bob", ("project:b", "pull"))
    for name in ("a/x", "b/x", "c/x"):
        await push_image(app.basic("alice"), "v1", name=name)
    await app.publish("c")
    assert (await app.basic("alice").get("/v2/_catalog")).json()["repositories"] == ["a/x", "b/x", "c/x"]
    assert (await app.basic("bob").get("/v2/_catalog")).json()["repositories"] == ["b/x", "c/x"]
    answer = await app.client().get("/v2/_catalog")
    assert answer.status == 401
    assert 'scope="registry:catalog:*"' in answer["WWW-Authenticate"]


async def push_referrer(client: AsgiClient, subject: bytes, artifact_type: str, **more: object) -> bytes:
    """Attach an artifact to a manifest."""
    await push_blob(client, b"{}")
    target = descriptor(subject, media_types.OCI_MANIFEST)
    body = image(b"{}", subject=target, artifactType=artifact_type, **more)
    assert (await put_manifest(client, body, digest_of(body))).status == 201
    return body


async def referrers(client: AsgiClient, subject: bytes, query: str = "") -> Answer:
    """List what refers to a manifest."""
    return await client.get(f"/v2/{NAME}/referrers/{digest_of(subject)}{query}")


@pytest.mark.parametrize("name", [NAME, "no/such"])
async def test_no_referrers_is_an_empty_index(client: AsgiClient, name: str) -> None:
    """An unknown subject, also in an unknown repository, has an empty index: always 200 (end-12a)."""
    answer = await client.get(f"/v2/{name}/referrers/{digest_of(b'unknown')}")
    assert (answer.status, answer["Content-Type"]) == (200, media_types.OCI_INDEX)
    assert answer.json() == {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": []}


async def test_referrers_are_described(client: AsgiClient) -> None:
    """An entry has type, size, digest, artifact type and annotations of the manifest."""
    subject = await push_image(client, "v1")
    body = await push_referrer(client, subject, "application/x-sbom", annotations={"by": "test"})
    assert (await referrers(client, subject)).json()["manifests"] == [
        {
            "mediaType": media_types.OCI_MANIFEST,
            "digest": digest_of(body),
            "size": len(body),
            "artifactType": "application/x-sbom",
            "annotations": {"by": "test"},
        }
    ]


async def test_referrers_of_one_type(client: AsgiClient) -> None:
    """`artifactType` filters, and the answer says so (end-12b)."""
    subject = await push_image(client, "v1")
    await push_referrer(client, subject, "application/x-sbom")
    signature = await push_referrer(client, subject, "application/x-signature")
    answer = await referrers(client, subject, "?artifactType=application/x-signature")
    assert [entry["digest"] for entry in answer.json()["manifests"]] == [digest_of(signature)]
    assert answer["OCI-Filters-Applied"] == "artifactType"
    assert "OCI-Filters-Applied" not in await referrers(client, subject)


async def test_referrers_in_pages(client: AsgiClient) -> None:
    """Pages of a filtered list keep the filter in their links."""
    subject = await push_image(client, "v1")
    bodies = [await push_referrer(client, subject, "application/x-sbom", annotations={"n": str(n)}) for n in range(5)]
    await push_referrer(client, subject, "application/x-other")
    target = f"/v2/{NAME}/referrers/{digest_of(subject)}?artifactType=application%2Fx-sbom&n=2"
    pages = await all_pages(client, target, "manifests")
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {entry["digest"] for page in pages for entry in page} == set(map(digest_of, bodies))


async def test_referrers_of_the_fallback_tag(client: AsgiClient) -> None:
    """What clients listed under the fallback tag, before there was a list of referrers, is in the list."""
    subject = await push_image(client, "v1")
    old = await push_image(client, "sha256-old", annotations={"old": "yes"})
    listed = index(descriptor(old, media_types.OCI_MANIFEST))
    tag = digest_of(subject).replace(":", "-")
    assert (await put_manifest(client, listed, tag, media_type=media_types.OCI_INDEX)).status == 201
    assert [entry["digest"] for entry in (await referrers(client, subject)).json()["manifests"]] == [digest_of(old)]


async def test_referrers_of_no_digest(client: AsgiClient) -> None:
    """A subject that is no digest is 400."""
    for bad in ("latest", "sha256:abc"):
        answer = await client.get(f"/v2/{NAME}/referrers/{bad}")
        assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
