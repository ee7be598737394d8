"""What is purged is gone at once, past trash and history, over every database."""

from __future__ import annotations

import pytest

from entrepot.access.faults import NotFound, PreconditionFailed
from entrepot.metadata.contents import manifests, projects, repositories
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, NameUnknown
from entrepot.oci.reference import RepositoryName
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import DAY, Bin
from tests.support.manifests import entry, image, index
from tests.support.rows import moves_of

OTHER = RepositoryName.parse("team/other")
_EVENTS = RawQuery("SELECT kind, actor, repository, detail FROM events ORDER BY id")


async def test_an_artifact_with_its_parts_and_its_history(bin_: Bin) -> None:
    """What only it lists and what refers to it go too; what something else needs stays."""
    first, second = await bin_.pusher().image(None, b"one"), await bin_.pusher().image(None, b"two")
    body, other = index(entry(first), entry(second)), index(entry(second), annotations={"a": "b"})
    await bin_.pusher().manifest(body, "multi")
    await bin_.pusher().manifest(other, "other")
    signature = image(b"{}", subject=entry(first))
    await bin_.pusher().manifest(signature)
    await bin_.pusher(OTHER).image("v1", b"one")
    repository = await bin_.repository()
    with pytest.raises(PreconditionFailed, match="belongs to 1 index"):
        await bin_.purging.artifact(repository, str(Digest.of(first)), by=bin_.purger())
    done = await bin_.purging.artifact(repository, str(Digest.of(body)), by=bin_.purger("a secret"))
    assert (done.manifests, done.copies) == (3, 0)
    for gone in (body, first, signature):
        assert not await bin_.has(gone)
    assert await manifests.content(bin_.database, str(Digest.of(body))) is None
    assert await bin_.has(second)
    assert await bin_.has("other")
    with pytest.raises(BlobUnknown):
        await bin_.registry.blobs.get(NAME, Digest.of(b"one"))
    assert (await bin_.registry.blobs.get(OTHER, Digest.of(b"one"))).size == 3
    assert await moves_of(bin_.database, repository.id, "multi") == []
    assert await bin_.entries() == []
    told = [row for row in await bin_.database.all(_EVENTS) if row[0] == "purge"]
    assert [(row[1], row[2], "a secret" in row[3]) for row in told] == [("alice", NAME, True)]
    with pytest.raises(NotFound):
        await bin_.purging.artifact(repository, str(Digest.of(body)), by=bin_.purger())


async def test_what_is_purged_out_of_the_trash_is_read_by_nobody(bin_: Bin) -> None:
    """The blobs of a deleted image can be read through the grace, unless it may not be kept."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete(body)
    assert (await bin_.registry.blobs.get(NAME, Digest.of(b"one"))).size == 3
    await bin_.purging.entry(await bin_.entry(trash.MANIFEST), by=bin_.purger())
    with pytest.raises(BlobUnknown):
        await bin_.registry.blobs.get(NAME, Digest.of(b"one"))
    assert await bin_.registry.blobs.mount(OTHER, Digest.of(b"one"), NAME, actor=ALICE) is None


async def test_what_another_index_in_the_trash_lists_is_kept_for_that(bin_: Bin) -> None:
    """And not one moment longer: when that has gone for good, nothing is left."""
    child = await bin_.pusher().image(None, b"one")
    bodies = [index(entry(child), annotations={"n": name}) for name in ("first", "second")]
    for name, body in zip(("first", "second"), bodies, strict=True):
        await bin_.pusher().manifest(body, name)
    await bin_.delete(bodies[0])
    await bin_.with_settings(trash_seconds=DAY).delete(bodies[1])
    await bin_.review()
    assert (await bin_.purging.entry(await bin_.entry(trash.MANIFEST, "first"), by=bin_.purger())).manifests == 1
    assert len(await bin_.entries()) == 2
    await bin_.age(DAY)
    assert (await bin_.expire()).manifests == 2
    assert await bin_.entries() == []


async def test_its_copies_are_counted(bin_: Bin) -> None:
    """Whoever purges a secret must know that it is elsewhere, too."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.pusher(OTHER).image("v1", b"one")
    done = await bin_.purging.artifact(await bin_.repository(), str(Digest.of(body)), by=bin_.purger())
    assert (done.manifests, done.copies) == (1, 1)


async def test_what_lies_in_the_trash_of_the_repository_goes_with_it(bin_: Bin) -> None:
    """Deleted, pushed again and purged: nothing can bring it back, neither the manifest nor its tags."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.delete("v1")
    await bin_.pusher().manifest(body, "v2")
    await bin_.delete(body)
    await bin_.pusher().image("v3", b"one")
    await bin_.delete("v3")
    assert await bin_.kinds() == [trash.TAG, trash.MANIFEST, trash.TAG]
    done = await bin_.purging.artifact(await bin_.repository(), str(Digest.of(body)), by=bin_.purger())
    assert (done.manifests, done.copies) == (2, 0)
    assert await bin_.entries() == []
    repository = await bin_.repository()
    assert [await moves_of(bin_.database, repository.id, f"v{number}") for number in (1, 2, 3)] == [[], [], []]


async def test_an_entry_of_the_trash_with_what_went_with_it(bin_: Bin) -> None:
    """An index with its images; another one that needs one of them keeps it."""
    first, second = await bin_.pusher().image(None, b"one"), await bin_.pusher().image(None, b"two")
    body, other = index(entry(first), entry(second)), index(entry(second), annotations={"a": "b"})
    await bin_.pusher().manifest(body, "multi")
    await bin_.pusher().manifest(other, "other")
    await bin_.pusher().manifest(image(b"{}", subject=entry(body)))
    await bin_.delete(body)
    await bin_.delete(other)
    await bin_.review()
    root = await bin_.entry(trash.MANIFEST, "multi")
    done = await bin_.purging.entry(root, by=bin_.purger())
    assert done.manifests == 3
    await bin_.restore(await bin_.entry(trash.MANIFEST, "other"))
    assert await bin_.has(second)
    assert not await bin_.has(first)
    with pytest.raises(NotFound):
        await bin_.purging.entry(root, by=bin_.purger())


async def test_an_entry_of_a_tag(bin_: Bin) -> None:
    """The manifest stays; the tag's history forgets that it named it."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.pusher().manifest(body, "v2")
    await bin_.delete("v1")
    done = await bin_.purging.entry(await bin_.entry(trash.TAG), by=bin_.purger())
    assert (done.manifests, done.copies) == (0, 1)
    assert await bin_.has("v2")
    repository = await bin_.repository()
    assert await moves_of(bin_.database, repository.id, "v1") == []
    assert len(await moves_of(bin_.database, repository.id, "v2")) == 1


async def test_a_repository_and_all_of_its_trash(bin_: Bin) -> None:
    """Whether it is there or in the trash itself."""
    for live in (True, False):
        body = await bin_.pusher().image("v1", b"one")
        await bin_.pusher().image("v2", b"two")
        await bin_.delete(body)
        repository = await bin_.repository()
        if live:
            await bin_.purging.repository(repository, by=bin_.purger("why"))
        else:
            await bin_.registry.repositories.delete(NAME, actor=ALICE)
            await bin_.purging.entry(await bin_.entry(trash.REPOSITORY), by=bin_.purger("why"))
        assert await bin_.entries() == []
        assert await repositories.find_by_id(bin_.database, repository.id) is None
        assert await manifests.content(bin_.database, str(Digest.of(body))) is None
        told = [row for row in await bin_.database.all(_EVENTS) if row[0] == "purge"]
        assert "why" in told[-1][3]
        with pytest.raises(NameUnknown):
            await bin_.purging.repository(repository, by=bin_.purger())


async def test_a_project_and_all_of_its_trash(bin_: Bin) -> None:
    """Whether it is there or in the trash itself."""
    for live in (True, False):
        body = await bin_.pusher().image("v1", b"one")
        await bin_.delete(body)
        await bin_.pusher(OTHER).image("v2", b"two")
        project = await bin_.project()
        if live:
            await bin_.purging.project(project, by=bin_.purger("why"))
        else:
            await bin_.registry.project_deletion.delete(project, actor=ALICE, with_repositories=True)
            await bin_.purging.entry(await bin_.entry(trash.PROJECT), by=bin_.purger("why"))
        assert await bin_.entries() == []
        assert await projects.find_deleted(bin_.database, project.id) is None
        assert await repositories.some_of_project(bin_.database, project.id, limit=9) == []
        with pytest.raises(NameUnknown):
            await bin_.purging.project(project, by=bin_.purger())
