"""What a registry does with manifests, the same over every database."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from entrepot.metadata.contents import manifests as manifest_rows
from entrepot.metadata.contents import repositories as repository_rows
from entrepot.metadata.database import Reader
from entrepot.metadata.jobs import outbox
from entrepot.metadata.query import Query
from entrepot.metadata.tables import project_blobs
from entrepot.oci import media_type as media_types
from entrepot.oci.digest import Digest
from entrepot.oci.errors import (
    BlobInUse,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
    TagInvalid,
    Unsupported,
)
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.service import Registry
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, STRANGER, Pusher
from tests.support.manifests import entry, image, index
from tests.support.rows import moves_of

_USAGE = Query(select(project_blobs.c.references), "test.usage_of_manifests")


async def test_a_pushed_manifest_is_served_by_tag_and_digest(pusher: Pusher, registry: Registry) -> None:
    """Both references answer with the exact bytes and the type of the push."""
    body = await pusher.image("v1", b"layer")
    for reference in (Tag.parse("v1"), Digest.of(body)):
        found = await registry.manifests.get(NAME, reference, content=True)
        assert (found.content, found.media_type, found.digest) == (body, media_types.OCI_MANIFEST, Digest.of(body))


async def test_a_pull_by_tag_never_misses_a_tag_that_moves_while_its_old_manifest_goes(
    kit: Kit, pusher: Pusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the manifest's row and its bytes, the tag is moved and the old manifest deleted."""
    old, new = await pusher.image("v1", b"old"), await pusher.image(None, b"new")
    reader, real = kit.registry(), manifest_rows.content

    async def content_a_moment_later(source: Reader, digest: str) -> bytes | None:
        monkeypatch.undo()
        await pusher.manifest(new, "v1")
        await pusher.registry.manifests.delete(NAME, Digest.of(old), actor=ALICE)
        return await real(source, digest)

    monkeypatch.setattr(manifest_rows, "content", content_a_moment_later)
    assert (await reader.manifests.get(NAME, Tag.parse("v1"), content=True)).content == new


async def test_a_pull_by_tag_is_one_statement(kit: Kit, pusher: Pusher, registry: Registry) -> None:
    """The manifest's bytes come from memory once they have been seen."""
    await pusher.image("v1", b"layer")
    before = kit.metadata.statistics.statements
    await registry.manifests.get(NAME, Tag.parse("v1"), content=True)
    assert kit.metadata.statistics.statements - before == 1


@pytest.mark.parametrize("layers", [1, 20])
async def test_a_manifest_push_asks_the_same_number_of_questions_for_any_number_of_layers(
    kit: Kit, pusher: Pusher, layers: int
) -> None:
    """Blobs are looked up together; only the rows that refer to them grow with the layers."""
    contents = [b"layer %d" % number for number in range(layers)]
    for content in (b"{}", *contents):
        await pusher.blob(content)
    before = kit.metadata.statistics.statements
    await pusher.manifest(image(b"{}", *contents), "v1")
    assert kit.metadata.statistics.statements - before <= 16 + 2 * (layers + 1)


async def test_a_manifest_with_a_missing_blob_is_refused_with_its_digest(pusher: Pusher, registry: Registry) -> None:
    """Nothing of a refused push is visible."""
    await pusher.blob(b"{}")
    with pytest.raises(ManifestBlobUnknown) as refused:
        await pusher.manifest(image(b"{}", b"never pushed"), "v1")
    assert str(Digest.of(b"never pushed")) in str(refused.value.detail)
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(NAME, Tag.parse("v1"), content=False)


async def test_a_blob_of_another_repository_does_not_count(pusher: Pusher, registry: Registry) -> None:
    """What a manifest needs must be in its own repository."""
    await pusher.image("v1", b"layer")
    elsewhere = Pusher(registry, RepositoryName.parse("team/other"))
    with pytest.raises(ManifestBlobUnknown):
        await elsewhere.manifest(image(b"{}", b"layer"), "v1")


async def test_a_wrong_size_is_refused(pusher: Pusher) -> None:
    """A manifest that misstates the size of a blob would break its readers."""
    await pusher.blob(b"{}")
    body = image(b"{}").replace(b'"size": 2', b'"size": 3')
    with pytest.raises(ManifestInvalid, match="3 bytes"):
        await pusher.manifest(body, "v1")


async def test_layers_that_may_not_be_distributed_need_not_be_there(pusher: Pusher) -> None:
    """Foreign layers are fetched from elsewhere."""
    await pusher.blob(b"{}")
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": str(Digest.of(b"foreign")),
        "size": 7,
        "urls": ["https://example.com/layer"],
    }
    await pusher.manifest(image(b"{}", layers=[foreign]), "v1")


async def test_a_manifest_pushed_again_protects_blobs_that_came_late(
    kit: Kit, pusher: Pusher, registry: Registry
) -> None:
    """The second push of the same bytes finds a layer that was missing at the first, and from then on needs it."""
    await pusher.blob(b"{}")
    media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    body = image(b"{}", layers=[{"mediaType": media_type, "digest": str(Digest.of(b"late")), "size": 4}])
    await pusher.manifest(body, "v1")
    await pusher.blob(b"late")
    for _ in range(2):
        await pusher.manifest(body, "v1")
    with pytest.raises(BlobInUse):
        await registry.blobs.delete(NAME, Digest.of(b"late"), actor=ALICE)
    assert [row[0] for row in await kit.metadata.all(_USAGE)] == [1, 1]
    await registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    assert await kit.metadata.all(_USAGE) == []


async def test_bytes_must_have_the_digest_they_are_pushed_by(registry: Registry, pusher: Pusher) -> None:
    """A manifest with two spaces appended is another manifest."""
    body = await pusher.image("v1")
    with pytest.raises(DigestInvalid):
        await registry.manifests.put(NAME, Digest.of(body), None, body + b"  ", actor=ALICE)


async def test_a_manifest_may_be_pushed_by_its_sha512(registry: Registry, pusher: Pusher) -> None:
    """The repository then knows it under that digest."""
    await pusher.blob(b"{}")
    body = image(b"{}")
    digest = Digest.of(body, "sha512")
    result = await registry.manifests.put(NAME, digest, None, body, actor=ALICE)
    assert result.digest == digest
    assert (await registry.manifests.get(NAME, digest, content=True)).content == body


async def test_one_push_sets_several_tags(registry: Registry, pusher: Pusher) -> None:
    """All of them point at the manifest, in one transaction."""
    await pusher.blob(b"{}")
    body = image(b"{}")
    result = await pusher.manifest(body, None, "a", "b", "a")
    assert result.tags == ("a", "b")
    assert (await registry.tags.list(NAME, limit=10)).items == ["a", "b"]


async def test_too_many_tags_are_refused(pusher: Pusher) -> None:
    """There is a limit to the tags of one push."""
    await pusher.blob(b"{}")
    with pytest.raises(TagInvalid):
        await pusher.manifest(image(b"{}"), None, *(f"t{number}" for number in range(101)))


async def test_an_index_needs_its_manifests(pusher: Pusher) -> None:
    """A missing child is named in the refusal."""
    child = image(b"{}")
    with pytest.raises(ManifestBlobUnknown) as refused:
        await pusher.manifest(index(entry(child)), "multi")
    assert str(Digest.of(child)) in str(refused.value.detail)
    await pusher.image(None)
    await pusher.manifest(index(entry(child)), "multi")


async def test_a_sparse_index_is_taken_when_the_operator_allows_it(sparse_registry: Registry) -> None:
    """A child that comes later is joined to it, so that it cannot be deleted alone."""
    pusher = Pusher(sparse_registry)
    child = image(b"{}")
    await pusher.manifest(index(entry(child)), "multi")
    await pusher.image(None)
    with pytest.raises(Denied):
        await sparse_registry.manifests.delete(NAME, Digest.of(child), actor=ALICE)


async def test_an_index_may_list_blobs(pusher: Pusher) -> None:
    """BuildKit keeps the layers of its cache in an index."""
    await pusher.blob(b"cached layer")
    listed = entry(b"cached layer", "application/vnd.oci.image.layer.v1.tar+gzip")
    await pusher.manifest(index(listed), "cache")


async def test_the_type_of_a_digest_never_changes(pusher: Pusher, registry: Registry) -> None:
    """The same bytes cannot be served as two types."""
    await pusher.blob(b"{}")
    body = image(b"{}").replace(f'"mediaType": "{media_types.OCI_MANIFEST}", '.encode(), b"", 1)
    await registry.manifests.put(NAME, Tag.parse("a"), media_types.OCI_MANIFEST, body, actor=ALICE)
    with pytest.raises(ManifestInvalid):
        await registry.manifests.put(NAME, Tag.parse("a"), media_types.DOCKER_MANIFEST, body, actor=ALICE)


async def test_a_manifest_above_the_limit_is_refused(pusher: Pusher) -> None:
    """Four MiB are taken, one byte more is not."""
    await pusher.blob(b"{}")
    body = image(b"{}", annotations={"pad": ""})
    exact = body.replace(b'"pad": ""', b'"pad": "' + b"x" * (4 * 1024 * 1024 - len(body)) + b'"')
    await pusher.manifest(exact, "big")
    with pytest.raises(ManifestTooLarge):
        await pusher.manifest(exact + b" ", "bigger")


async def test_moving_a_tag_is_remembered(kit: Kit, pusher: Pusher) -> None:
    """The history holds each move once, with who did it, and pushing the same again adds nothing."""
    first = await pusher.image("latest", b"one")
    second = await pusher.image("latest", b"two")
    await pusher.manifest(second, "latest")
    repository = await repository_rows.find(kit.metadata, NAME)
    assert repository is not None
    history = await moves_of(kit.metadata, repository.id, "latest")
    moves = [(move.digest, move.action, move.actor) for move in history]
    assert moves == [(str(Digest.of(body)), "set", "alice") for body in (first, second)]


async def test_deleting_a_tag_keeps_the_manifest_and_its_other_tags(pusher: Pusher, registry: Registry) -> None:
    """A tag is a name, not the image."""
    body = await pusher.image("a")
    await pusher.manifest(body, "b")
    await registry.manifests.delete(NAME, Tag.parse("a"), actor=ALICE)
    assert (await registry.tags.list(NAME, limit=10)).items == ["b"]
    assert (await registry.manifests.get(NAME, Digest.of(body), content=True)).content == body


async def test_deleting_a_manifest_deletes_its_tags(pusher: Pusher, registry: Registry) -> None:
    """No tag is left that points at nothing."""
    body = await pusher.image("a", b"layer")
    await pusher.manifest(body, "b")
    await registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    assert (await registry.tags.list(NAME, limit=10)).items == []
    with pytest.raises(ManifestUnknown):
        await registry.manifests.get(NAME, Digest.of(body), content=False)
    with pytest.raises(ManifestUnknown):
        await registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)


async def test_a_deleted_manifest_can_be_pushed_again(pusher: Pusher, registry: Registry) -> None:
    """Its blobs are still there for the grace period."""
    body = await pusher.image("a", b"layer")
    await registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    await pusher.manifest(body, "a")
    assert (await registry.manifests.get(NAME, Tag.parse("a"), content=True)).content == body


async def test_a_manifest_that_an_index_lists_cannot_be_deleted_alone(pusher: Pusher, registry: Registry) -> None:
    """The index would break; after it the child may go."""
    child = await pusher.image(None)
    parent = index(entry(child))
    await pusher.manifest(parent, "multi")
    with pytest.raises(Denied):
        await registry.manifests.delete(NAME, Digest.of(child), actor=ALICE)
    await registry.manifests.delete(NAME, Digest.of(parent), actor=ALICE)
    await registry.manifests.delete(NAME, Digest.of(child), actor=ALICE)


async def test_a_push_to_a_missing_project_needs_the_right_to_create_it(registry: Registry) -> None:
    """The refusal says what to do."""
    with pytest.raises(NameUnknown, match="administrator"):
        await registry.manifests.put(NAME, Tag.parse("v1"), None, image(b"{}"), actor=STRANGER)
    with pytest.raises(NameUnknown):
        await registry.uploads.start(NAME, principal="user:stranger", actor=STRANGER)


async def test_x_and_library_x_are_one_repository(pusher: Pusher, registry: Registry) -> None:
    """Whichever spelling was pushed, both pull, and a push to the other does not make a second repository."""
    short = Pusher(registry, RepositoryName.parse("app"))
    body = await short.image("v1", b"layer")
    long_name = RepositoryName.parse("library/app")
    assert (await registry.manifests.get(long_name, Tag.parse("v1"), content=True)).content == body
    await Pusher(registry, long_name).manifest(body, "v2")
    assert (await registry.tags.list(short.name, limit=10)).items == ["v1", "v2"]
    assert (await registry.blobs.get(long_name, Digest.of(b"layer"))).size == len(b"layer")
    assert (await registry.catalog.list(limit=10)).items == ["app"]


async def test_switched_off_deleting_refuses_every_way_of_it(keeping_registry: Registry) -> None:
    """Tags, manifests and blobs stay."""
    body = await Pusher(keeping_registry).image("v1", b"layer")
    for reference in (Tag.parse("v1"), Digest.of(body)):
        with pytest.raises(Unsupported):
            await keeping_registry.manifests.delete(NAME, reference, actor=ALICE)
    with pytest.raises(Unsupported):
        await keeping_registry.blobs.delete(NAME, Digest.of(b"layer"), actor=ALICE)


async def test_a_read_only_registry_refuses_writes(read_only_registry: Registry) -> None:
    """Pushes and deletes are refused before anything is looked at."""
    with pytest.raises(Unsupported):
        await read_only_registry.manifests.put(NAME, Tag.parse("v1"), None, image(b"{}"), actor=ALICE)
    with pytest.raises(Unsupported):
        await read_only_registry.uploads.start(NAME, principal="user:alice", actor=ALICE)
    with pytest.raises(Unsupported):
        await read_only_registry.manifests.delete(NAME, Tag.parse("v1"), actor=ALICE)


async def test_every_push_leaves_word_for_the_projection(kit: Kit, pusher: Pusher) -> None:
    """Blobs and the manifest are in the outbox in the order they came."""
    await pusher.image("v1", b"layer")
    entries = await outbox.oldest(kit.metadata, 10)
    assert [entry.topic for entry in entries] == [outbox.BLOB_LINKED, outbox.BLOB_LINKED, outbox.MANIFEST_PUT]
    assert entries[-1].payload["tags"] == ["v1"]
    await kit.metadata.write(lambda tx: outbox.done(tx, [entry.id for entry in entries]))
    assert await outbox.backlog(kit.metadata) == (0, None)


async def test_only_the_platforms_an_operator_names_must_be_there(kit: Kit) -> None:
    """An index without its arm64 image is taken when only amd64 is required."""
    registry = kit.registry(requires_platform=lambda architecture, _os: architecture == "amd64")
    pusher = Pusher(registry)
    amd64 = entry(await pusher.image(None, b"amd64")) | {"platform": {"architecture": "amd64", "os": "linux"}}
    arm64 = entry(image(b"{}", b"arm64")) | {"platform": {"architecture": "arm64", "os": "linux"}}
    await pusher.manifest(index(amd64, arm64), "multi")
    absent = entry(image(b"{}", b"other")) | {"platform": {"architecture": "amd64", "os": "linux"}}
    with pytest.raises(ManifestBlobUnknown):
        await pusher.manifest(index(absent), "broken")


async def test_urls_that_the_rules_refuse_keep_a_manifest_out(kit: Kit) -> None:
    """Clients would fetch the layer from there."""
    pusher = Pusher(kit.registry(permits_url=lambda url: url.startswith("https://example.com/")))
    await pusher.blob(b"{}")
    foreign = {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "size": 7}
    foreign |= {"digest": str(Digest.of(b"foreign"))}
    await pusher.manifest(image(b"{}", layers=[foreign | {"urls": ["https://example.com/layer"]}]), "v1")
    with pytest.raises(ManifestInvalid, match=r"validation\.manifests\.urls"):
        await pusher.manifest(image(b"{}", layers=[foreign | {"urls": ["https://attacker.test/layer"]}]), "v2")
