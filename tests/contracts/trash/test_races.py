"""Two who do something at the same moment: one of them is first, and the other is told so; over every database."""

from __future__ import annotations

import asyncio

from entrepot.metadata.contents import manifests, projects, repositories
from entrepot.oci.digest import Digest
from entrepot.oci.errors import TagImmutable
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.project_deletion import ProjectNotEmpty
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.contracts.trash.conftest import Bin
from tests.support.manifests import entry, image, index

ROUNDS = 12


async def test_an_immutable_tag_is_set_once_by_two_pushes(bin_: Bin) -> None:
    """Whoever comes second is refused, as if the tag had been there for long."""
    pusher = bin_.pusher()
    # Nothing in common, for pushes of one blob wait for each other.
    bodies = [await pusher.image(None, config=config) for config in (b"{1}", b"{2}")]
    await bin_.protect("v*")
    for number in range(ROUNDS):
        both = (pusher.manifest(body, f"v{number}") for body in bodies)
        refused = [one for one in await asyncio.gather(*both, return_exceptions=True) if one is not None]
        assert [type(one) for one in refused if isinstance(one, BaseException)] == [TagImmutable]


async def test_a_tag_that_is_given_at_the_moment_of_a_push_stays_where_one_put_it(bin_: Bin) -> None:
    """Giving an artifact a tag never moves one."""
    pusher = bin_.pusher()
    bodies = [await pusher.image(None, layer) for layer in (b"one", b"two")]
    added = bin_.registry.manifests.add_tag
    for number in range(ROUNDS):
        tag = Tag(f"v{number}")
        done = await asyncio.gather(*(added(NAME, Digest.of(body), tag, actor=ALICE) for body in bodies))
        assert sorted(done) == [False, True]
        assert await bin_.names(tag) == Digest.of(bodies[done.index(True)])


async def test_nothing_is_pushed_into_a_project_that_is_being_deleted(bin_: Bin) -> None:
    """Either the project stays, for it has a repository now, or the push makes it anew."""
    for number in range(2 * ROUNDS):
        name = f"p{number}"
        project = await bin_.database.write(lambda tx, name=name: projects.ensure(tx, name))  # type: ignore[misc]
        repository = RepositoryName(f"{name}/app")

        async def delete(number: int = number, project: projects.ProjectRecord = project) -> None:
            await asyncio.sleep(number % 6 * 0.002)
            await bin_.registry.project_deletion.delete(project, actor=ALICE)

        pushed, deleted = await asyncio.gather(
            Pusher(bin_.registry, repository).blob(b"%d" % number), delete(), return_exceptions=True
        )
        assert not isinstance(pushed, BaseException)
        assert deleted is None or isinstance(deleted, ProjectNotEmpty)
        found = await repositories.find_exact(bin_.database, repository)
        assert found is not None
        assert await projects.find_by_id(bin_.database, found.project_id) is not None


async def test_an_index_knows_an_image_that_is_pushed_at_the_same_moment(bin_: Bin) -> None:
    """It may be sparse, and yet it keeps whatever of it comes."""
    sparse = bin_.with_settings(requires_platform=lambda _architecture, _os: False)
    pusher = sparse.pusher()
    for number in range(ROUNDS):
        await pusher.blob(b"%d" % number)
        child = image(b"%d" % number)
        body = index(entry(child), annotations={"n": str(number)})
        await asyncio.gather(pusher.manifest(body, f"v{number}"), pusher.manifest(child))
        row = await manifests.by_digest(sparse.database, NAME, str(Digest.of(child)))
        assert row is not None
        assert await manifests.parents(sparse.database, row.id) == 1
