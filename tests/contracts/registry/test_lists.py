"""Lists of tags, repositories and referrers, the same over every database."""

from __future__ import annotations

import pytest

from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import NameUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.oci.referrers import fallback_tag
from entrepot.registry.catalog import Visible
from entrepot.registry.service import Registry
from tests.contracts.registry.pushing import NAME, Pusher
from tests.support.manifests import descriptor, entry, image, index


async def test_tags_come_in_pages_in_bytewise_order(pusher: Pusher, registry: Registry) -> None:
    """Upper case sorts before lower case, whatever the database's locale."""
    await pusher.blob(b"{}")
    await pusher.manifest(image(b"{}"), None, "b", "B", "a", "_", "10", "9")
    first = await registry.tags.list(NAME, limit=4)
    assert (first.items, first.last) == (["10", "9", "B", "_"], "_")
    rest = await registry.tags.list(NAME, limit=4, last="_")
    assert (rest.items, rest.last) == (["a", "b"], None)
    assert (await registry.tags.list(NAME, limit=0)).items == []


async def test_tags_of_an_unknown_repository_are_an_error(registry: Registry) -> None:
    """An empty list would say that it exists."""
    with pytest.raises(NameUnknown):
        await registry.tags.list(NAME, limit=10)


async def test_the_catalog_is_ordered_by_path_component(registry: Registry) -> None:
    """A slash sorts before everything else, as registry:2 lists it."""
    for name in ("a-b/c", "a/z", "a", "ab", "a/b/c"):
        await Pusher(registry, RepositoryName.parse(name)).image("v1")
    everything = await registry.catalog.list(limit=10)
    assert everything.items == ["a", "a/b/c", "a/z", "a-b/c", "ab"]
    page = await registry.catalog.list(limit=2, last="a/b/c")
    assert (page.items, page.last) == (["a/z", "a-b/c"], "a-b/c")


async def test_the_catalog_shows_only_granted_projects(registry: Registry) -> None:
    """The filter is part of the query, so that pages are full."""
    for name in ("one/x", "two/x", "three/x"):
        await Pusher(registry, RepositoryName.parse(name)).image("v1")
    some = Visible(projects=["one", "three"])
    assert (await registry.catalog.list(limit=10, visible=some)).items == ["one/x", "three/x"]
    assert (await registry.catalog.list(limit=10, visible=Visible(projects=[]))).items == []


async def test_a_repository_without_manifests_is_not_in_the_catalog(pusher: Pusher, registry: Registry) -> None:
    """An upload alone makes no repository that anybody could pull from."""
    await pusher.blob(b"layer")
    assert (await registry.catalog.list(limit=10)).items == []


async def test_referrers_are_found_by_subject_and_type(pusher: Pusher, registry: Registry) -> None:
    """The subject need not exist; the artifact type falls back to the config's media type."""
    subject = descriptor(b"not pushed yet", media_types.OCI_MANIFEST)
    await pusher.blob(b"{}")
    signature = image(b"{}", subject=subject, artifactType="application/x-signature", annotations={"k": "v"})
    plain = image(b"{}", subject=subject)
    await pusher.manifest(signature)
    await pusher.manifest(plain)
    digest = Digest.of(b"not pushed yet")
    found, following = await registry.referrers.list(NAME, digest, limit=10)
    assert following is None
    assert {item.artifact_type for item in found} == {
        "application/x-signature",
        "application/vnd.oci.image.config.v1+json",
    }
    only, _ = await registry.referrers.list(NAME, digest, artifact_type="application/x-signature", limit=10)
    assert [(item.digest, item.annotations) for item in only] == [(Digest.of(signature), {"k": "v"})]


async def test_referrers_come_in_pages(pusher: Pusher, registry: Registry) -> None:
    """Every referrer is on exactly one page."""
    subject = descriptor(b"subject", media_types.OCI_MANIFEST)
    await pusher.blob(b"{}")
    pushed = [image(b"{}", subject=subject, annotations={"n": str(number)}) for number in range(5)]
    for body in pushed:
        await pusher.manifest(body)
    seen: list[Digest] = []
    last: str | None = ""
    while last is not None:
        page, last = await registry.referrers.list(NAME, Digest.of(b"subject"), limit=2, last=last)
        seen += [item.digest for item in page]
    assert sorted(map(str, seen)) == sorted(str(Digest.of(body)) for body in pushed)


async def test_a_page_of_referrers_is_no_larger_than_a_manifest_may_be(pusher: Pusher, registry: Registry) -> None:
    """Annotations are repeated in the list: pages of large manifests are short, and still every one is listed."""
    subject = descriptor(b"subject", media_types.OCI_MANIFEST)
    await pusher.blob(b"{}")
    text = {"text": "x" * 1_500_000}
    pushed = [image(b"{}", subject=subject, annotations={"n": str(number), **text}) for number in range(5)]
    for body in pushed:
        await pusher.manifest(body)
    pages: list[int] = []
    last: str | None = ""
    while last is not None:
        page, last = await registry.referrers.list(NAME, Digest.of(b"subject"), limit=100, last=last)
        pages.append(len(page))
    assert pages == [2, 2, 1]
    listed = index(*map(entry, pushed))
    await pusher.manifest(listed, fallback_tag(Digest.of(b"other")))
    folded, _ = await registry.referrers.list(NAME, Digest.of(b"other"), limit=100)
    assert len(folded) == 5
    assert sum(len(item.annotations) for item in folded) == 2 * 2


async def test_entries_of_the_fallback_tag_are_folded_in(pusher: Pusher, registry: Registry) -> None:
    """What a client attached while there was no list of referrers is listed once, with its real artifact type."""
    subject = await pusher.image("v1")
    old = image(b"{}", artifactType="application/x-old")
    new = image(b"{}", artifactType="application/x-new", subject=entry(subject))
    await pusher.manifest(old)
    await pusher.manifest(new)
    await pusher.manifest(index(entry(old), entry(new)), fallback_tag(Digest.of(subject)))
    found, _ = await registry.referrers.list(NAME, Digest.of(subject), limit=10)
    assert {item.artifact_type for item in found} == {"application/x-old", "application/x-new"}
    assert len(found) == 2
    only, _ = await registry.referrers.list(NAME, Digest.of(subject), artifact_type="application/x-old", limit=10)
    assert [item.digest for item in only] == [Digest.of(old)]


@pytest.mark.parametrize("limit", [1, 2])
async def test_an_entry_of_the_fallback_tag_that_is_on_a_later_page_is_listed_once(
    pusher: Pusher, registry: Registry, limit: int
) -> None:
    """Pages together hold each referrer once, wherever the ones with a subject fall."""
    subject = await pusher.image("v1")
    new = [image(b"{}", subject=entry(subject), annotations={"n": str(number)}) for number in range(3)]
    old = image(b"{}", artifactType="application/x-old")
    for body in (old, *new):
        await pusher.manifest(body)
    await pusher.manifest(index(*map(entry, (old, old, *new))), fallback_tag(Digest.of(subject)))
    seen: list[Digest] = []
    last: str | None = ""
    while last is not None:
        page, last = await registry.referrers.list(NAME, Digest.of(subject), limit=limit, last=last)
        seen += [item.digest for item in page]
    assert sorted(map(str, seen)) == sorted(str(Digest.of(body)) for body in (old, *new))


async def test_an_unknown_repository_has_no_referrers(registry: Registry) -> None:
    """The list is empty rather than an error, so that clients do not fall back to tags."""
    assert await registry.referrers.list(NAME, Digest.of(b"x"), limit=10) == ([], None)
