"""What is deleted goes into the trash, unseen, and comes back whole, over every database."""

from __future__ import annotations

import pytest

from entrepot.access.faults import NotFound
from entrepot.metadata import clock, trash_namespaces
from entrepot.metadata.contents import blobs as blob_rows
from entrepot.metadata.contents import repositories
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, Denied, ManifestUnknown
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.oci.referrers import fallback_tag
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import Bin
from tests.support.manifests import entry, image, index

OTHER = RepositoryName.parse("team/other")


async def test_a_deleted_tag_comes_back(bin_: Bin) -> None:
    """It names what it named; the manifest was there all the time."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete("v1")
    assert not await bin_.has("v1")
    assert await bin_.has(body)
    found = await bin_.entry(trash.TAG)
    assert (found.project, found.repository, found.tags, found.actor) == ("team", NAME, ("v1",), "alice")
    assert found.digest == str(Digest.of(body))
    restored = await bin_.restore(found)
    assert (restored.tags, restored.aside) == (["v1"], [])
    assert await bin_.names("v1") == Digest.of(body)
    assert await bin_.entries() == []


async def test_a_deleted_image_comes_back_with_its_tags_and_blobs(bin_: Bin) -> None:
    """In between nobody sees it or its tags, and once the grace is over not its blobs; what another needs stays."""
    body = await bin_.pusher().image("v1", b"shared", b"one")
    await bin_.registry.manifests.add_tag(NAME, Digest.of(body), Tag.parse("latest"), actor=ALICE)
    await bin_.pusher().image("v2", b"shared", b"two")
    await bin_.delete(body)
    assert not await bin_.has(body)
    assert not await bin_.has("latest")
    assert (await bin_.registry.tags.list(NAME, limit=9)).items == ["v2"]
    await bin_.end_grace()
    with pytest.raises(BlobUnknown):
        await bin_.registry.blobs.stat(NAME, Digest.of(b"one"))
    assert await bin_.registry.blobs.mount(OTHER, Digest.of(b"one"), NAME, actor=ALICE) is None
    assert (await bin_.registry.blobs.get(NAME, Digest.of(b"shared"))).size == 6
    assert NAME not in await bin_.registry.blobs.find_anywhere(Digest.of(b"one"))
    restored = await bin_.restore(await bin_.entry(trash.MANIFEST))
    assert sorted(restored.tags) == ["latest", "v1"]
    assert await bin_.names("latest") == Digest.of(body)
    assert (await bin_.registry.blobs.stat(NAME, Digest.of(b"one"))).size == 3
    assert await bin_.entries() == []
    assert await repositories.find_exact(bin_.database, trash_namespaces.of_manifests(1)) is None


async def test_a_blob_whose_last_manifest_went_is_read_and_mounted_through_the_grace(bin_: Bin) -> None:
    """As with registry:2, where it stays until the next collection; who asks whether it is there may rely on that."""
    body, digest = await bin_.pusher().image("v1", b"one"), Digest.of(b"one")
    await bin_.delete(body)
    assert (await bin_.registry.blobs.get(NAME, digest)).size == 3
    assert await bin_.registry.blobs.find_anywhere(digest) == [NAME]
    assert await bin_.registry.blobs.mount(OTHER, digest, NAME, actor=ALICE) is not None
    grace = bin_.settings.grace_seconds
    soon = RawQuery(f"UPDATE repository_blobs SET lapses_at = {clock.after(grace / 3)} WHERE lapses_at IS NOT NULL")
    await bin_.database.write(lambda tx: tx.execute(soon))
    assert (await bin_.registry.blobs.stat(NAME, digest)).size == 3
    row = await bin_.database.one(RawQuery("SELECT max(lapses_at) FROM repository_blobs"))
    assert row is not None
    assert row[0] > clock.after(grace / 2)


async def test_a_push_that_was_told_of_a_blob_may_still_use_it(bin_: Bin) -> None:
    """Between the answer that it is there and the manifest, the last other manifest was deleted."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.registry.blobs.stat(NAME, Digest.of(b"one"))
    await bin_.delete(body)
    other = image(b"{}", b"one", annotations={"a": "b"})
    await bin_.pusher().manifest(other, "v2")
    assert (await bin_.registry.blobs.stat(NAME, Digest.of(b"one"))).size == 3


async def test_an_index_comes_back_with_what_it_lists_and_what_refers_to_it(bin_: Bin) -> None:
    """By one call, though its parts went later, after the grace; also what refers to a part."""
    first, second = await bin_.pusher().image(None, b"one"), await bin_.pusher().image(None, b"two")
    body = index(entry(first), entry(second))
    await bin_.pusher().manifest(body, "multi")
    signature, attested = image(b"{}", subject=entry(body)), image(b"{}", subject=entry(first))
    for each in (signature, attested):
        await bin_.pusher().manifest(each)
    with pytest.raises(Denied):
        await bin_.delete(first)
    await bin_.delete(body)
    assert [await bin_.has(each) for each in (first, signature)] == [True, False]
    assert await bin_.review() == 3  # its parts, and what referred to one of them
    for each in (body, first, second, signature, attested):
        assert not await bin_.has(each)
    assert (await bin_.registry.catalog.list(limit=9)).items == []
    root = next(one for one in await bin_.entries() if one.digest == str(Digest.of(body)))
    assert {one.deletion for one in await bin_.entries()} == {root.deletion}
    assert all(0 <= one.expires_at - root.expires_at <= 1 for one in await bin_.entries())
    restored = await bin_.restore(root)
    assert restored.manifests == 5
    for each in (body, first, second, signature, attested):
        assert await bin_.has(each)
    listed, _ = await bin_.registry.referrers.list(NAME, Digest.of(body), limit=9)
    assert [one.digest for one in listed] == [Digest.of(signature)]
    with pytest.raises(Denied):
        await bin_.delete(first)
    assert await bin_.entries() == []
    assert await bin_.review() == 0


async def test_a_signature_that_was_deleted_for_itself_stays_deleted(bin_: Bin) -> None:
    """What comes back is what one deletion took, not what others took before."""
    body = await bin_.pusher().image("v1", b"one")
    signature = image(b"{}", subject=entry(body))
    await bin_.pusher().manifest(signature)
    await bin_.delete(signature)
    await bin_.delete(body)
    await bin_.restore(await bin_.entry(trash.MANIFEST, "v1"))
    assert await bin_.has("v1")
    assert not await bin_.has(signature)
    assert await bin_.kinds() == [trash.MANIFEST]


async def test_a_tag_whose_manifest_went_after_it_brings_that_back(bin_: Bin) -> None:
    """Restoring the tag alone is enough."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete("v1")
    await bin_.delete(body)
    await bin_.restore(await bin_.entry(trash.TAG))
    assert await bin_.names("v1") == Digest.of(body)
    assert await bin_.entries() == []


async def test_a_tag_taken_meanwhile_stays_unless_it_is_to_be_replaced(bin_: Bin) -> None:
    """It is set aside in the tag's history; with `replace` it is moved."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete(body)
    newer = await bin_.pusher().image("v1", b"two")
    restored = await bin_.restore(await bin_.entry(trash.MANIFEST))
    assert (restored.tags, restored.aside) == ([], ["v1"])
    assert await bin_.names("v1") == Digest.of(newer)
    assert await bin_.has(body)
    await bin_.delete(body)
    await bin_.pusher().manifest(body, "v2")
    await bin_.delete(body)
    await bin_.pusher().image("v2", b"three")
    restored = await bin_.restore(await bin_.entry(trash.MANIFEST, "v2"), replace=True)
    assert (restored.tags, restored.aside) == (["v2"], [])
    assert await bin_.names("v2") == Digest.of(body)


async def test_what_was_pushed_again_meanwhile_takes_its_tags_back(bin_: Bin) -> None:
    """Two rows of one manifest become one again; deleted twice, it can be restored by either entry."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete(body)
    await bin_.pusher().image("v2", b"one")
    restored = await bin_.restore(await bin_.entry(trash.MANIFEST))
    assert restored.tags == ["v1"]
    assert await bin_.names("v1") == await bin_.names("v2") == Digest.of(body)
    for _ in range(2):
        await bin_.delete(body)
        await bin_.pusher().image("v3", b"one")
    await bin_.delete(body)
    first, second, third = await bin_.entries()
    assert await bin_.restore(second)
    assert await bin_.has("v3")
    await bin_.restore(first)
    assert await bin_.has("v1")
    assert await bin_.has("v2")
    await bin_.restore(third)
    assert await bin_.entries() == []


async def test_a_push_takes_back_what_it_lists(bin_: Bin) -> None:
    """The client was told that the part is there; in the meantime it went into the trash."""
    first = await bin_.pusher().image(None, b"one")
    old = index(entry(first))
    await bin_.pusher().manifest(old, "old")
    await bin_.delete(old)
    assert await bin_.review() == 1
    assert not await bin_.has(first)
    await bin_.pusher().manifest(index(entry(first), annotations={"a": "b"}), "new")
    assert await bin_.has(first)
    assert (await bin_.registry.blobs.stat(NAME, Digest.of(b"one"))).size == 3
    await bin_.restore(await bin_.entry(trash.MANIFEST, "old"))
    assert await bin_.has("old")


async def test_a_part_that_something_else_needs_stays(bin_: Bin) -> None:
    """A tag of its own or another index keep it; a signature comes back with what it signs."""
    first, second = await bin_.pusher().image("own", b"one"), await bin_.pusher().image(None, b"two")
    one, two = index(entry(first), entry(second)), index(entry(second), annotations={"a": "b"})
    await bin_.pusher().manifest(one, "one")
    await bin_.pusher().manifest(two, "two")
    signature = image(b"{}", subject=entry(one))
    await bin_.pusher().manifest(signature)
    await bin_.delete(one)
    await bin_.pusher().manifest(one, "again")
    assert await bin_.review() == 0
    assert [await bin_.has(each) for each in (first, second, signature)] == [True, True, False]
    await bin_.restore(await bin_.entry(trash.MANIFEST, "one"))
    assert await bin_.has(signature)


async def test_where_the_trash_keeps_nothing_it_is_gone(bin_: Bin) -> None:
    """By the registry's setting; a part goes for good with its index."""
    at_once = bin_.with_settings(trash_seconds=0.0)
    first = await at_once.pusher().image(None, b"one")
    body = index(entry(first))
    await at_once.pusher().manifest(body, "multi")
    await at_once.delete("multi")
    await at_once.delete(body)
    assert await at_once.review() == 1
    assert await at_once.entries() == []
    assert not await at_once.has(first)
    blob = await blob_rows.find(at_once.database, str(Digest.of(b"one")))
    assert blob is not None
    assert blob.review_after is not None


async def test_what_was_purged_meanwhile_cannot_come_back(bin_: Bin) -> None:
    """An entry that was read before tells nobody that it could."""
    await bin_.pusher().image("v1", b"one")
    body = await bin_.pusher().image("v1", b"two")
    await bin_.delete("v1")
    await bin_.delete(body)
    found = await bin_.entry(trash.TAG)
    await bin_.expire(everything=True)
    with pytest.raises(NotFound, match="gone for good"):
        await bin_.restore(found)
    with pytest.raises(ManifestUnknown):
        await bin_.delete(body)


async def test_signatures_go_and_come_back_with_what_they_sign(bin_: Bin) -> None:
    """By subject and by tag, at once and by one deletion; so does what is about a signature, with its tags."""
    body = await bin_.pusher().image("v1", b"one")
    sig_tag, att_tag = (f"{fallback_tag(Digest.of(body))}.{kind}" for kind in ("sig", "att"))
    tagged = await bin_.pusher().image(sig_tag, b"signature")
    attested = await bin_.pusher().image(att_tag, b"attestation")
    referring = image(b"{}", subject=entry(body))
    await bin_.pusher().manifest(referring)
    about_it = image(b"{}", subject=entry(tagged), annotations={"a": "b"})
    await bin_.pusher().manifest(about_it)
    everything = (body, tagged, attested, referring, about_it)
    await bin_.delete(body)
    assert [await bin_.has(each) for each in (*everything, "v1", sig_tag, att_tag)] == [False] * 8
    assert len({one.deletion for one in await bin_.entries()}) == 1
    restored = await bin_.restore(await bin_.entry(trash.MANIFEST, "v1"))
    assert (restored.manifests, restored.tags) == (5, ["v1"])
    assert [await bin_.has(each) for each in (*everything, "v1", sig_tag, att_tag)] == [True] * 8
    assert await bin_.entries() == []


async def test_a_signature_that_something_else_needs_stays(bin_: Bin) -> None:
    """It has a tag of its own, is about another image too, a rule keeps it, or an index lists it."""
    body, other = await bin_.pusher().image("v1", b"one"), await bin_.pusher().image("v2", b"two")
    beside = [f"{fallback_tag(Digest.of(body))}.{kind}" for kind in ("sig", "att", "sbom")]
    named = await bin_.pusher().image(beside[0], b"named")
    await bin_.pusher().manifest(named, "mine")
    both = await bin_.pusher().image(beside[1], b"both")
    await bin_.pusher().manifest(both, f"{fallback_tag(Digest.of(other))}.att")
    kept = await bin_.pusher().image(beside[2], b"kept")
    listed = image(b"{}", subject=entry(body))
    await bin_.pusher().manifest(listed)
    await bin_.pusher().manifest(index(entry(listed)), "index")
    await bin_.protect("*.sbom")
    await bin_.delete(body)
    assert [await bin_.has(each) for each in (body, named, both, kept, listed)] == [False, True, True, True, True]


async def test_an_index_of_referrers_goes_with_its_subject_and_what_it_lists(bin_: Bin) -> None:
    """The fallback tag of clients that know no list of referrers."""
    body = await bin_.pusher().image("v1", b"one")
    referring = image(b"{}", subject=entry(body))
    await bin_.pusher().manifest(referring)
    fallback = index(entry(referring))
    await bin_.pusher().manifest(fallback, fallback_tag(Digest.of(body)))
    await bin_.delete(body)
    assert [await bin_.has(each) for each in (body, referring, fallback)] == [False] * 3
    await bin_.restore(await bin_.entry(trash.MANIFEST, "v1"))
    assert [await bin_.has(each) for each in (body, referring, fallback)] == [True] * 3
    assert await bin_.has(fallback_tag(Digest.of(body)))


async def test_a_purged_image_takes_its_signatures_along(bin_: Bin) -> None:
    """For good, those whose tag names it too."""
    body = await bin_.pusher().image("v1", b"one")
    tagged = await bin_.pusher().image(f"{fallback_tag(Digest.of(body))}.sig", b"signature")
    purged = await bin_.purging.artifact(await bin_.repository(), str(Digest.of(body)), by=bin_.purger())
    assert purged.manifests == 2
    assert not await bin_.has(tagged)
    assert await bin_.entries() == []
