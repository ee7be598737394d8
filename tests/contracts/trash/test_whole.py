"""Whole repositories and projects in the trash, over every database."""

from __future__ import annotations

import pytest

from entrepot.access.faults import Conflict, NotFound, PreconditionFailed
from entrepot.metadata.contents import catalog, manifests, project_lists, project_metadata, projects, repositories, tags
from entrepot.metadata.database import Transaction
from entrepot.metadata.filtering import Selection
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.people import grants, principals, robots
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUnknown, NameUnknown
from entrepot.oci.reference import RepositoryName
from entrepot.registry.project_deletion import ProjectNotEmpty
from tests.contracts.registry.pushing import ALICE, NAME
from tests.contracts.trash.conftest import Bin
from tests.support.manifests import entry, image, index
from tests.support.rows import moves_of

OTHER = RepositoryName.parse("team/other")
FAR = RepositoryName.parse("far/app")


async def filled(bin_: Bin, name: RepositoryName = NAME, count: int = 3) -> bytes:
    """Push images with tags, an index with a signature, and a blob that nothing refers to."""
    pusher = bin_.pusher(name)
    first = await pusher.image("v0", b"zero")
    for number in range(1, count):
        await pusher.image(f"v{number}", b"layer %d" % number)
    body = index(entry(first))
    await pusher.manifest(body, "multi")
    await pusher.manifest(image(b"{}", subject=entry(body)))
    await pusher.blob(b"loose")
    return body


async def test_a_repository_goes_and_comes_back_as_a_whole(bin_: Bin) -> None:
    """By one transaction each, whatever it holds; in between its name is nobody's."""
    body = await filled(bin_)
    before = await bin_.registry.tags.list(NAME, limit=99)
    transactions = bin_.database.statistics.transactions
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    assert bin_.database.statistics.transactions - transactions == 1
    assert await bin_.kinds() == [trash.REPOSITORY]
    assert (await bin_.registry.catalog.list(limit=9)).items == []
    assert await project_lists.first_repository(bin_.database, (await bin_.project()).id) is None
    assert not await bin_.has("v0")
    with pytest.raises(BlobUnknown):
        await bin_.registry.blobs.get(NAME, Digest.of(b"loose"))
    with pytest.raises(NameUnknown):
        await bin_.registry.repositories.delete(NAME, actor=ALICE)
    transactions = bin_.database.statistics.transactions
    restored = await bin_.restore(await bin_.entry(trash.REPOSITORY))
    assert bin_.database.statistics.transactions - transactions == 1
    assert restored.repository == NAME
    assert await bin_.registry.tags.list(NAME, limit=99) == before
    listed, _ = await bin_.registry.referrers.list(NAME, Digest.of(body), limit=9)
    assert len(listed) == 1
    assert (await bin_.registry.blobs.get(NAME, Digest.of(b"loose"))).size == 5
    assert await bin_.entries() == []


async def test_a_recreated_repository_is_a_new_one(bin_: Bin) -> None:
    """Nothing of the old one is in it; what comes back joins it, and its tags are set aside where names are taken."""
    body = await filled(bin_, count=45)
    old = await bin_.names("v1")
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    newer = await bin_.pusher().image("v1", b"newer")
    assert (await bin_.registry.tags.list(NAME, limit=99)).items == ["v1"]
    there = await repositories.find_exact(bin_.database, NAME)
    assert there is not None
    assert [move.digest for move in await moves_of(bin_.database, there.id, "v1")] == [str(Digest.of(newer))]
    restored = await bin_.restore(await bin_.entry(trash.REPOSITORY))
    assert restored.aside == ["v1"]
    assert len(restored.tags) == 45
    assert restored.manifests == 47
    assert await bin_.names("v1") == Digest.of(newer)
    assert await bin_.names("multi") == Digest.of(body)
    listed, _ = await bin_.registry.referrers.list(NAME, Digest.of(body), limit=9)
    assert len(listed) == 1
    assert (await bin_.registry.blobs.get(NAME, Digest.of(b"loose"))).size == 5
    assert await bin_.entries() == []
    moves = {move.digest: move.action for move in await moves_of(bin_.database, there.id, "v1")}
    assert moves[str(old)] in (tags.ASIDE, tags.SET)
    assert await repositories.some_of_project(bin_.database, there.project_id, limit=9) == [there]


async def test_with_replace_the_old_tags_win(bin_: Bin) -> None:
    """Where nothing keeps the new ones."""
    await filled(bin_)
    old = await bin_.names("v1")
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    await bin_.pusher().image("v1", b"newer")
    restored = await bin_.restore(await bin_.entry(trash.REPOSITORY), replace=True)
    assert restored.aside == []
    assert await bin_.names("v1") == old


async def test_where_the_trash_keeps_nothing_a_repository_is_taken_apart(bin_: Bin) -> None:
    """The project says so itself, whatever the registry says."""
    body = await filled(bin_)
    project = await bin_.project()
    await bin_.database.write(lambda tx: project_metadata.put(tx, project.id, {trash.SETTING: "0s"}))
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    assert await bin_.entries() == []
    assert await manifests.content(bin_.database, str(Digest.of(body))) is None
    assert await repositories.some_of_project(bin_.database, project.id, limit=9) == []


async def test_a_deleted_image_of_a_deleted_repository_comes_back_into_a_new_one(bin_: Bin) -> None:
    """It was deleted first, so that it is an entry of its own."""
    body = await bin_.pusher().image("v1", b"one")
    await bin_.pusher().image("v2", b"two")
    await bin_.delete(body)
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    await bin_.restore(await bin_.entry(trash.MANIFEST))
    assert (await bin_.registry.tags.list(NAME, limit=99)).items == ["v1"]
    assert (await bin_.registry.blobs.get(NAME, Digest.of(b"one"))).size == 3
    await bin_.restore(await bin_.entry(trash.REPOSITORY))
    assert (await bin_.registry.tags.list(NAME, limit=99)).items == ["v1", "v2"]
    assert await bin_.entries() == []


async def _with_members(bin_: Bin) -> tuple[int, int]:
    """Give the project a setting, a member and a robot; return the ids of those."""
    project = await bin_.project()

    async def work(tx: Transaction) -> tuple[int, int]:
        await project_metadata.put(tx, project.id, {"auto_scan": "true"})
        ids = []
        for kind, name in ((principals.USER, "bob"), (principals.ROBOT, "team+ci")):
            found = await principals.create(tx, kind, name, secret="hash")
            assert found is not None
            await grants.add(
                tx, principal_id=found.id, role_id=None, permissions=("*",), project_id=project.id, origin="t"
            )
            ids.append(found.id)
        await robots.add(tx, ids[1], project_id=project.id, description="", duration=-1, creator="user:alice")
        return ids[0], ids[1]

    return await bin_.database.write(work)


async def test_an_empty_project_comes_back_with_settings_members_and_robots(bin_: Bin) -> None:
    """In between the name is free, and nobody can sign in as one of its robots."""
    await bin_.pusher().image("v1", b"one")
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    bob, robot = await _with_members(bin_)
    project = await bin_.project()
    await bin_.registry.project_deletion.delete(project, actor=ALICE)
    assert await projects.find(bin_.database, "team") is None
    assert await projects.find_by_id(bin_.database, project.id) is None
    assert (await project_lists.every(bin_.database, Selection())).items == []
    assert await principals.find(bin_.database, principals.ROBOT, "team+ci") is None
    hidden = await principals.find_by_id(bin_.database, robot)
    assert hidden is not None
    assert hidden.disabled
    assert await robots.find(bin_.database, robot) is None
    restored = await bin_.restore(await bin_.entry(trash.PROJECT))
    assert restored.project == "team"
    assert (await bin_.project()).id == project.id
    assert (await project_metadata.of_projects(bin_.database, [project.id]))[project.id] == {"auto_scan": "true"}
    assert [grant.project for grant in await grants.of_principal(bin_.database, bob)] == ["team"]
    shown = await principals.find(bin_.database, principals.ROBOT, "team+ci")
    assert shown is not None
    assert (shown.id, shown.disabled, shown.epoch) == (robot, False, 1)
    assert await bin_.kinds() == [trash.REPOSITORY]


async def test_a_project_goes_and_comes_back_with_its_repositories(bin_: Bin) -> None:
    """By one call each, when that is asked for; else a project that has some stays."""
    for name in (NAME, OTHER):
        await filled(bin_, name)
    project = await bin_.project()
    with pytest.raises(ProjectNotEmpty, match="team/app"):
        await bin_.registry.project_deletion.delete(project, actor=ALICE)
    await bin_.registry.project_deletion.delete(project, actor=ALICE, with_repositories=True)
    assert await bin_.kinds() == [trash.REPOSITORY, trash.REPOSITORY, trash.PROJECT]
    assert len({one.deletion for one in await bin_.entries()}) == 1
    assert await catalog.names(bin_.database, limit=9, last="", projects=["team", "~deleted/1"]) == []
    with pytest.raises(PreconditionFailed, match="project team is not there"):
        await bin_.restore(await bin_.entry(trash.REPOSITORY))
    restored = await bin_.restore(await bin_.entry(trash.PROJECT))
    assert restored.repositories == 2
    assert (await bin_.registry.catalog.list(limit=9)).items == [NAME, OTHER]
    assert await bin_.has("multi", OTHER)
    assert await bin_.entries() == []


async def test_a_recreated_project_is_a_new_one(bin_: Bin) -> None:
    """The old one cannot come back beside it; its repositories can, into the new one, which is charged for them."""
    body = await filled(bin_)
    old = await bin_.project()
    await bin_.registry.project_deletion.delete(old, actor=ALICE, with_repositories=True)
    await bin_.pusher(OTHER).image("v1", b"zero")
    new = await bin_.project()
    assert new.id != old.id
    with pytest.raises(Conflict, match="there is a project team already"):
        await bin_.restore(await bin_.entry(trash.PROJECT))
    with pytest.raises(PreconditionFailed, match="another one now"):
        await bin_.restore(await bin_.entry(trash.REPOSITORY))
    await bin_.restore(await bin_.entry(trash.REPOSITORY), into=new.id)
    assert await bin_.names("multi") == Digest.of(body)
    assert await bin_.kinds() == [trash.PROJECT]
    await bin_.expire(everything=True)
    assert await bin_.names("multi") == Digest.of(body)
    assert (await bin_.registry.blobs.get(NAME, Digest.of(b"zero"))).size == 4


async def test_a_project_whose_trash_keeps_nothing_is_removed_with_what_its_trash_held(bin_: Bin) -> None:
    """What was deleted while it kept things goes with it."""
    await filled(bin_)
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    _, robot = await _with_members(bin_)
    project = await bin_.project()
    await bin_.database.write(lambda tx: project_metadata.put(tx, project.id, {trash.SETTING: "0s"}))
    await bin_.registry.project_deletion.delete(project, actor=ALICE)
    assert await bin_.entries() == []
    assert await principals.find_by_id(bin_.database, robot) is None
    assert await projects.find_deleted(bin_.database, project.id) is None
    with pytest.raises(NameUnknown):
        await bin_.registry.project_deletion.delete(project, actor=ALICE)


async def test_a_repository_that_was_restored_by_somebody_else(bin_: Bin) -> None:
    """An entry that was read before names nothing any more."""
    await filled(bin_)
    await bin_.registry.repositories.delete(NAME, actor=ALICE)
    found = await bin_.entry(trash.REPOSITORY)
    await bin_.restore(found)
    with pytest.raises(NotFound, match="not in the trash any more"):
        await bin_.restore(found)
