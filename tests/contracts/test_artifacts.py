"""Which artifacts a repository has, what is told of them, and how often they were pulled, on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam

from entrepot.metadata.contents import (
    artifact_labels,
    artifact_parts,
    artifacts,
    blobs,
    manifests,
    pulls,
    repositories,
    repository_lists,
    tags,
)
from entrepot.metadata.contents.artifacts import Selection
from entrepot.metadata.contents.pulls import Pulled
from entrepot.metadata.database import Database, Reader, Row, Transaction
from entrepot.metadata.engine.slow_questions import patient
from entrepot.metadata.filtering import Condition, Match, Order
from entrepot.metadata.filtering import Selection as ListSelection
from entrepot.metadata.query import Query
from entrepot.metadata.tables import labels, metadata
from entrepot.oci.reference import RepositoryName
from entrepot.projects.contents.descriptions import Describing
from tests.support.databases import create_all

NAME = RepositoryName.parse("team/app")
IMAGE = "application/vnd.oci.image.config.v1+json"
CHART = "application/vnd.cncf.helm.config.v1+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_LABEL = Query(
    lambda d: (
        d.insert(labels)
        .values(
            project_id=bindparam("project"),
            name=bindparam("name"),
            description="",
            color="",
            created_at=1,
            updated_at=1,
        )
        .returning(labels.c.id)
    ),
    "test.label",
)


def digest(number: int) -> str:
    """Make up a digest."""
    return f"sha256:{number:064x}"


class Aside:
    """Asks a database beside the event loop, and never on it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def patient(self) -> Reader:
        """See `HasPatience`."""
        return patient(self._reader)

    async def one(self, query: Query, **_parameters: object) -> Row | None:
        """See `Reader`."""
        raise AssertionError(query)

    async def all(self, query: Query, **_parameters: object) -> list[Row]:
        """See `Reader`."""
        raise AssertionError(query)


class Filled:
    """A repository in a database, into which tests put manifests of no content."""

    def __init__(self, database: Database, repository: repositories.RepositoryRecord) -> None:
        self.database = database
        self.repository = repository

    async def manifest(
        self,
        number: int,
        *names: str,
        artifact_type: str | None = IMAGE,
        media_type: str = OCI,
        subject: int | None = None,
        children: tuple[int, ...] = (),
        sizes: tuple[int, ...] = (),
    ) -> int:
        """Add a manifest with tags, blobs of these sizes and children by their numbers; return its row id."""

        async def work(tx: Transaction) -> int:
            row_id = await manifests.add(
                tx,
                self.repository.id,
                digest=digest(number),
                media_type=media_type,
                artifact_type=artifact_type,
                raw=b"x" * number,
                subject=None if subject is None else digest(subject),
                annotations={"number": str(number)},
            )
            assert row_id is not None
            known = await manifests.present(tx, self.repository.id, [digest(child) for child in children])
            found = [
                await blobs.put(tx, digest(1_000_000 + size), size=size, storage_key=f"key{size}", review_after=None)
                for size in sizes
            ]
            roles = ["config", *["layer"] * len(sizes)]
            await manifests.refer(
                tx,
                row_id,
                blobs=[(blob, role) for blob, role in zip(found, roles, strict=False) if blob is not None],
                children=[(digest(child), known.get(digest(child))) for child in children],
            )
            await tags.put(tx, self.repository.id, names, row_id)
            return row_id

        return await self.database.write(work)

    async def found(self, *, newest_first: bool = True, step: int = 2, **wanted: object) -> list[int]:
        """Walk through the artifacts that are wanted, in small steps."""
        selection = Selection(**wanted)  # type: ignore[arg-type] - the tests name real fields
        walk = artifacts.walk(self.database, self.repository.id, selection, newest_first=newest_first, step=step)
        return [row_id async for step_of in walk for row_id in step_of]

    async def label(self, name: str, project: int | None = None) -> int:
        """Make a label."""
        row = await self.database.write(lambda tx: tx.one(_LABEL, project=project, name=name))
        assert row is not None
        return int(row[0])


@pytest.fixture
async def filled(database: Database) -> Filled:
    """Give an empty repository."""
    await create_all(database, metadata)
    return Filled(database, await database.write(lambda tx: repositories.ensure(tx, NAME)))


async def test_the_walk_goes_both_ways_and_forgets_nothing(filled: Filled) -> None:
    """Seven manifests in steps of two come each once, in the order of their pushes or against it."""
    ids = [await filled.manifest(number) for number in range(1, 8)]
    assert await filled.found(newest_first=False) == ids
    assert await filled.found() == ids[::-1]
    assert await filled.found(step=7) == ids[::-1]
    other = await filled.database.write(lambda tx: repositories.ensure(tx, RepositoryName.parse("team/other")))
    assert await Filled(filled.database, other).found() == []


async def test_parts_of_an_index_and_accessories_do_not_stand_for_themselves(filled: Filled) -> None:
    """A listed manifest shows with a tag or when parts are asked for; a referrer when its subject is not there."""
    amd, arm = await filled.manifest(1), await filled.manifest(2, "arm")
    index = await filled.manifest(3, artifact_type=None, media_type=INDEX, children=(1, 2))
    await filled.manifest(4, "signature", subject=3)
    orphan = await filled.manifest(5, subject=99)
    assert await filled.found() == [orphan, index, arm]
    assert await filled.found(parts=True) == [orphan, index, arm, amd]


async def test_artifacts_are_chosen_by_tag(filled: Filled) -> None:
    """With tags, without any, of one name, or of a part of a name."""
    bare = await filled.manifest(1)
    old, new = await filled.manifest(2, "v1.0", "Stable"), await filled.manifest(3, "v1.1")
    assert await filled.found(tagged=True) == [new, old]
    assert await filled.found(tagged=False) == [bare]
    assert await filled.found(tag="v1.0") == [old]
    assert await filled.found(tag="v1") == []
    assert await filled.found(tag_part="V1.") == [new, old]
    assert await filled.found(tag_part="%") == []
    assert await filled.found(tag_part="stab") == [old]


async def test_artifacts_are_chosen_by_what_they_are(filled: Filled) -> None:
    """By artifact type, or the media type of one that has none; by digest; by the time of the push."""
    image = await filled.manifest(1)
    chart = await filled.manifest(2, artifact_type=CHART)
    index = await filled.manifest(3, artifact_type=None, media_type=INDEX)
    assert await filled.found(types=(IMAGE, INDEX)) == [index, image]
    assert await filled.found(types=(CHART,)) == [chart]
    assert await filled.found(media_types=(INDEX,)) == [index]
    assert await filled.found(digest=digest(2)) == [chart]
    pushed = (await artifact_parts.records(filled.database, [chart]))[0].created_at
    assert await filled.found(since=pushed, until=pushed) == [chart]
    assert await filled.found(until=pushed - 1) == [image]


async def test_labels_are_put_on_and_taken_off(filled: Filled) -> None:
    """Labels of all, and of the artifact's project, once each; a list asks for all labels together."""
    database, project = filled.database, filled.repository.project_id
    one, two = await filled.manifest(1), await filled.manifest(2)
    common, own = await filled.label("common"), await filled.label("own", project)
    foreign = await filled.label(
        "foreign", (await database.write(lambda tx: repositories.ensure(tx, RepositoryName.parse("b/c")))).project_id
    )
    assert await artifact_labels.usable(database, own, project) == "own"
    assert await artifact_labels.usable(database, common, project) == "common"
    assert await artifact_labels.usable(database, foreign, project) is None
    for row_id, label in ((one, common), (one, own), (two, own)):
        assert await database.write(lambda tx, row_id=row_id, label=label: artifact_labels.add(tx, row_id, label))
    assert not await database.write(lambda tx: artifact_labels.add(tx, one, own))
    assert await filled.found(labels=(own,)) == [two, one]
    assert await filled.found(labels=(own, common)) == [one]
    shown = await artifact_parts.labels_of(database, [one, two])
    assert {row_id: [label.name for label in found] for row_id, found in shown.items()} == {
        one: ["common", "own"],
        two: ["own"],
    }
    assert await database.write(lambda tx: artifact_labels.remove(tx, one, common))
    assert not await database.write(lambda tx: artifact_labels.remove(tx, one, common))


async def test_what_is_told_of_artifacts(filled: Filled) -> None:
    """Records in the order asked for, sizes of blobs with repetition, children, configurations, tags, accessories."""
    database = filled.database
    image = await filled.manifest(10, "v1", "v2", sizes=(5, 7, 7))
    index = await filled.manifest(11, artifact_type=None, media_type=INDEX, children=(10, 77))
    signature = await filled.manifest(12, subject=10)
    records = await artifact_parts.records(database, [index, 999, image])
    assert [(r.id, r.digest, r.size, r.repository, r.pull_count) for r in records] == [
        (index, digest(11), 11, "team/app", 0),
        (image, digest(10), 10, "team/app", 0),
    ]
    assert (await artifact_parts.annotations_of(database, [image, index]))[image] == {"number": "10"}
    assert await artifact_parts.blob_sizes(database, [image, index]) == {image: 19}
    assert await artifact_parts.sizes(database, [image]) == {image: 10}
    children = await artifact_parts.children(database, [image, index])
    assert {row: [(c.digest, c.id) for c in found] for row, found in children.items()} == {
        index: [(digest(10), image), (digest(77), None)]
    }
    configs = await artifact_parts.configs(database, [image, index])
    assert {row: (c.key, c.size) for row, c in configs.items()} == {image: ("key5", 5)}
    tags = await artifact_parts.tags_of_all(database, [image, index], each=9)
    assert {row: [tag.name for tag in found] for row, found in tags.items()} == {image: ["v2", "v1"]}
    assert [tag.name for tag in (await artifact_parts.tags_of_all(database, [image], each=1))[image]] == ["v2"]
    listed = await artifact_parts.tags_of(database, image, ListSelection(limit=1))
    assert ([tag.name for tag in listed.items], listed.total) == (["v2"], 2)
    here = filled.repository.id
    about = await artifact_parts.accessories(database, here, [digest(10), digest(11)], each=9)
    assert [(row.id, row.subject, row.tag) for row in about] == [(signature, digest(10), "")]
    assert await artifact_parts.accessories(database, here + 1, [digest(10)], each=9) == []


async def test_artifacts_are_sorted_by_size_beside_the_event_loop(filled: Filled) -> None:
    """However many layers they have: manifests, blobs, and what indexes list, through two of them."""
    image = await filled.manifest(10, sizes=(5, 7))
    index = await filled.manifest(11, artifact_type=None, media_type=INDEX, children=(10, 77))
    outer = await filled.manifest(12, artifact_type=None, media_type=INDEX, children=(11,))
    unused: Any = None
    describing = Describing(Aside(filled.database), unused, unused, unused)
    keys = await describing.keys([outer, image, index], ["size", "id"])
    assert keys == {image: (22, image), index: (33, index), outer: (45, outer)}


async def test_pulls_add_up(filled: Filled) -> None:
    """Counts add up, the latest time stays; a repository counts no part of an index; what is gone is passed over."""
    database = filled.database
    part, whole = await filled.manifest(1), await filled.manifest(2, media_type=INDEX, children=(1,))
    gone = 4711
    await database.write(lambda tx: pulls.add(tx, {whole: Pulled(2, 200), part: Pulled(2, 210), gone: Pulled(9, 1)}))
    await database.write(lambda tx: pulls.add(tx, {whole: Pulled(3, 100)}))
    records = await artifact_parts.records(database, [whole, part])
    assert [(r.pull_count, r.pulled_at) for r in records] == [(5, 200), (2, 210)]
    entry = await repository_lists.find(database, filled.repository.id)
    assert entry is not None
    assert entry.pull_count == 5


async def test_lists_of_repositories(filled: Filled) -> None:
    """All, of one project, or of projects by name; filtered, sorted, with the time of the last push."""
    database = filled.database
    for name in ("team/app/deep", "other/x"):
        await database.write(lambda tx, name=name: repositories.ensure(tx, RepositoryName.parse(name)))
    await filled.manifest(1)
    everything = await repository_lists.every(database, ListSelection())
    assert [entry.name for entry in everything.items] == ["other/x", "team/app", "team/app/deep"]
    assert [entry.pushed_at is not None for entry in everything.items] == [False, True, False]
    project = filled.repository.project_id
    own = await repository_lists.of_project(database, project, ListSelection(order=(Order("name", descending=True),)))
    assert ([entry.name for entry in own.items], own.total) == (["team/app/deep", "team/app"], 2)
    part = ListSelection(conditions=(Condition(field="name", match=Match.CONTAINS, values=("DEEP",)),))
    assert [entry.name for entry in (await repository_lists.of_project(database, project, part)).items] == [
        "team/app/deep"
    ]
    shown = await repository_lists.visible(database, ListSelection(), names=["other"], public=True, internal=True)
    assert [entry.name for entry in shown.items] == ["other/x"]
    row_id = filled.repository.id
    assert await database.write(lambda tx: repository_lists.describe(tx, row_id, "Ours"))
    found = await repository_lists.find(database, row_id)
    assert found is not None
    assert (found.description, found.updated_at > 0) == ("Ours", True)
