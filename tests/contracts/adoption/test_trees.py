"""A bucket that registry:2 filled is read as a folder of the same names is, by fewer and by parallel requests."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.adapters.blobs.objects.cloud import CloudRefused, NoObject, Payload
from entrepot.adapters.blobs.objects.store import ObjectBlobStore
from entrepot.adapters.trees.bucket import BucketTree
from entrepot.adapters.trees.bucket_client import BucketClient
from entrepot.adapters.trees.bucket_files import BucketWriter
from entrepot.adapters.trees.bucket_report import BucketReport
from entrepot.adoption import note
from entrepot.adoption.contents import Contents
from entrepot.adoption.foreign_objects import ForeignObjects
from entrepot.adoption.intake import Intake
from entrepot.adoption.links import RepositoryLinks
from entrepot.adoption.ports import RegistryTree
from entrepot.adoption.report import Problem, ProblemKind, ReportFile
from entrepot.adoption.run import AdoptionRun
from entrepot.adoption.state import prepare
from entrepot.adoption.tree import Tree
from entrepot.adoption.young_links import YoungLinks
from entrepot.metadata import settings
from entrepot.metadata.contents import repositories, repository_contents
from entrepot.metadata.opening import Stores, open_embedded
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestUnknown, Unavailable
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.projection.give_back import GivenBack, GivingBack
from entrepot.registry import layout
from entrepot.registry.adoption import WantedBlob
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.ports import StoredBlob
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import entry, index
from tests.support.memory_cloud import MemoryCloud

NESTED = RepositoryName.parse("team/app/deep")
OTHER = RepositoryName.parse("busybox")


class ListedMemoryCloud(MemoryCloud):
    """One that lists folders, too."""

    async def folders(self, prefix: str) -> AsyncIterator[str]:
        """Walk what comes behind a prefix."""
        await self.ask("folders")
        names = (name.removeprefix(prefix) for name in self.objects if name.startswith(prefix))
        for found in sorted({name.partition("/")[0] for name in names if "/" in name}):
            yield found

    async def put(self, name: str, payload: Payload) -> str:
        """Store an object, also in place of another: links are moved."""
        self.objects.pop(name, None)
        return await super().put(name, payload)

    async def copy(self, source: str, target: str, size: int) -> None:
        """Copy an object."""
        await self.ask("copy")
        if source not in self.objects:
            raise NoObject(source)
        assert len(self.objects[source]) == size
        self._put(target, self.objects[source])


@pytest.fixture
async def filled(folder: Folder) -> Folder:
    """A folder with images in repositories within each other, an index, an alias, and broken things."""
    for name in (NAME, NESTED, OTHER):
        pusher = Pusher(folder.registry, name)
        for number in range(5):
            await pusher.image(f"v{number}", b"shared", f"{name} {number}".encode())
    child = await folder.pusher.image(None, b"of an index")
    await folder.pusher.manifest(index(entry(child)), "multi")
    await folder.pusher.blob(b"held by no image")
    await folder.project()
    root, digest = folder.root, Digest.of(b"shared")
    alias = Digest.of(b"shared", "sha512")
    for path, content in {
        layout.layer_link(NAME, alias): str(digest),
        layout.tag_current_link(NAME, Tag.parse("empty")): "",
        layout.tag_current_link(NAME, Tag.parse("odd")): "no digest",
        layout.tag_current_link(NAME, Tag.parse("dangling")): str(Digest.of(b"never")),
        f"{layout.tags(NAME)}/-no-tag/current/link": str(digest),
        f"{layout.revisions(NAME)}/sha256/nonsense/link": "x",
        f"{layout.REPOSITORIES}/Not-A-Name/_layers/sha256/x/link": "x",
    }.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(content)
    (root / layout.blob_data(Digest.of(b"busybox 3"))).unlink()
    (root / layout.blob_data(Digest.of(child))).write_bytes(b"damaged")
    return folder


def bucket_of(root: Path) -> ListedMemoryCloud:
    """Put the files of a folder into a bucket, with their times."""
    cloud = ListedMemoryCloud()
    for path in (root / "docker").rglob("*"):
        if path.is_file():
            name = str(path.relative_to(root))
            cloud.objects[name] = path.read_bytes()
            cloud.times[name] = path.stat().st_mtime_ns // 1000
    return cloud


def opened(cloud: ListedMemoryCloud) -> BucketClient:
    """Give what asks a bucket."""

    async def opening() -> ListedMemoryCloud:
        return cloud

    return BucketClient("memory", opening)


@pytest.fixture
def cloud(filled: Folder) -> ListedMemoryCloud:
    """The same in a bucket."""
    return bucket_of(filled.root)


@pytest.fixture
def bucket(cloud: ListedMemoryCloud) -> Iterator[BucketTree]:
    """The tree of that bucket."""
    client = opened(cloud)
    yield BucketTree(client)
    client.close()


def read(tree: RegistryTree, name: RepositoryName) -> tuple[object, ...]:
    """Read everything that links of a repository say, and what they point at."""
    links = RepositoryLinks(tree, name)
    revisions = sorted(links.revisions(), key=str)
    layers = sorted(links.layers(), key=lambda link: str(link.digest))
    tags = sorted(links.tags(), key=lambda link: link.tag)
    piece, loose = Contents(links).manifests(revisions), Contents(links).layers(layers)
    stored = {digest: (blob.key, blob.size) for digest, blob in (piece.stored | loose.stored).items()}
    problems = {(each.kind, each.subject) for each in links.problems}
    manifests = sorted(str(manifest.digest) for manifest in piece.manifests)
    return revisions, layers, tags, manifests, stored, piece.missing, problems


async def test_a_bucket_says_what_a_folder_says(filled: Folder, bucket: BucketTree) -> None:
    """Names, links, times of tags, manifests, blobs, aliases and everything broken."""
    folder = Tree(filled.root)

    def compare() -> None:
        assert bucket.exists()
        found = [name for name in bucket.names() if not isinstance(name, Problem)]
        assert sorted(found) == [OTHER, NAME, NESTED]
        assert found.index(NAME) < found.index(NESTED)
        assert {each.kind for each in bucket.names() if isinstance(each, Problem)} == {
            each.kind for each in folder.names() if isinstance(each, Problem)
        }
        for name in found:
            assert bucket.has(name)
            assert read(bucket, name) == read(folder, name)
        assert not bucket.has(RepositoryName.parse("team"))
        for content in (b"shared", b"never"):
            digest = Digest.of(content)
            assert bucket.holds(digest) == folder.holds(digest)
            assert bucket.manifest(digest) == folder.manifest(digest)
        link = layout.tag_current_link(NAME, Tag.parse("v1"))
        assert bucket.changed_at(link) == folder.changed_at(link)
        assert bucket.changed_at("nothing/link") is folder.changed_at("nothing/link") is None

    await asyncio.to_thread(compare)


async def test_a_bucket_is_adopted_as_a_folder_is(filled: Folder, bucket: BucketTree, tmp_path: Path) -> None:
    """A manifest and a blob that somebody asks for ahead of the rest, then all of it; the rows are the same."""
    await filled.lose_metadata()
    await filled.run().run()
    stores = await open_embedded(tmp_path / "other" / "entrepot")
    try:
        await prepare(stores.metadata, bucket)
        intake = Intake(stores.metadata, bucket, FileLocks(tmp_path / "other"))
        await intake.fetch(NESTED, Tag.parse("v1"))
        await intake.fetch(OTHER, WantedBlob(Digest.of(b"shared")))
        assert await repositories.count_pending(stores.metadata) == 2
        run = AdoptionRun(intake, ReportFile(tmp_path / "other"), filled.foreign)
        progress = await run.run()
        assert progress.done == 3
        for name in (NAME, NESTED, OTHER):
            ours = await repository_contents.read(stores.metadata, name)
            assert ours == await repository_contents.read(filled.stores.metadata, name)
        theirs = {(each.kind, each.subject) for each in ReportFile(filled.root).problems()}
        assert {(each.kind, each.subject) for each in run.report.problems()} == theirs
    finally:
        await stores.close()


async def test_listings_spare_requests(cloud: ListedMemoryCloud, bucket: BucketTree) -> None:
    """Of five tags, and the blobs and manifests of their images, the five links of the tags are read and no others."""
    before = len(cloud.asked)

    def walk() -> None:
        links = RepositoryLinks(bucket, NESTED)
        assert len(list(links.revisions())) == len(list(links.tags())) == 5
        assert len(list(links.layers())) == 7

    await asyncio.to_thread(walk)
    asked = cloud.asked[before:]
    assert (asked.count("read"), asked.count("describe")) == (5, 0)


async def test_many_blobs_are_listed_and_not_asked_for(
    cloud: ListedMemoryCloud, bucket: BucketTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some of them; what is there and what is not is told as before, and so much at most is kept in memory."""
    module = importlib.import_module(BucketTree.__module__)
    monkeypatch.setattr(module, "_ONE_BY_ONE", 2)
    wanted = [Digest.of(content) for content in (b"shared", b"never", b"busybox 1", b"busybox 2", b"busybox 3")]
    before = await asyncio.to_thread(bucket.find_blobs, wanted)
    assert len(before) == 3
    asked = Counter(cloud.asked)
    after = await asyncio.to_thread(bucket.find_blobs, wanted)
    now = Counter(cloud.asked)
    assert {digest: (blob.size, blob.etag) for digest, blob in after.items()} == {
        digest: (blob.size, blob.etag) for digest, blob in before.items()
    }
    assert (now["describe"] - asked["describe"], now["list"] - asked["list"]) == (0, 5)
    monkeypatch.setattr(module, "_BLOBS_LISTED", 1)
    assert await asyncio.to_thread(bucket.find_blobs, [Digest.of(b"team/app 1")])
    assert Counter(cloud.asked)["describe"] == now["describe"] + 1


async def test_requests_go_out_side_by_side(cloud: ListedMemoryCloud, bucket: BucketTree) -> None:
    """Where each takes a moment, many take little more."""
    at_once = most = 0

    async def slow(operation: str) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        cloud.asked.append(operation)

    cloud.ask = slow  # type: ignore[method-assign] - a slow one
    names = [layout.tag_current_link(NAME, Tag.parse(f"v{number % 5}")) for number in range(200)]
    found = await asyncio.to_thread(lambda: list(bucket.links(names)))
    assert [each.path for each in found] == names
    assert all(each.content for each in found)
    assert 10 < most <= 64


async def test_a_store_that_fails_hides_nothing(cloud: ListedMemoryCloud, bucket: BucketTree) -> None:
    """What cannot be read now is not reported as broken: whoever asked comes again."""

    async def refuse(_operation: str) -> None:
        raise CloudRefused("no")

    cloud.ask = refuse  # type: ignore[method-assign] - one that refuses
    links = RepositoryLinks(bucket, NAME)
    for work in (links.tags, links.layers, links.revisions, bucket.names):
        with pytest.raises(Unavailable):
            await asyncio.to_thread(lambda work=work: list(work()))  # type: ignore[misc] - it walks
    assert links.problems == []


async def test_what_another_registry_puts_into_the_bucket_is_noticed(
    cloud: ListedMemoryCloud, bucket: BucketTree, filled: Folder
) -> None:
    """By the part that is looked at in its turn, and by a collection before it takes it for garbage; until settled."""
    await filled.run().run()
    foreign = ForeignObjects(filled.stores.metadata, bucket)
    await foreign.begin()
    assert note.NAME in cloud.objects
    theirs = next(found for found in map(str.encode, map(str, range(10_000))) if Digest.of(found).encoded[:2] == "01")
    old = Digest.of(b"garbage of before")
    for digest, content, at in ((Digest.of(theirs), theirs, time.time_ns() // 1000 + 1), (old, b"x", 1)):
        cloud.objects[layout.blob_data(digest)] = content
        cloud.times[layout.blob_data(digest)] = at
    assert (await foreign.look()).unknown == 0  # the part 00
    assert (await foreign.look()).unknown == 0  # it is not time yet
    assert not await foreign.waiting()
    await filled.stores.metadata.write(lambda tx: settings.put(tx, "bucket-looked-at", "1 0"))
    assert (await foreign.look()).unknown == 1
    assert await foreign.waiting()
    assert "adopt --delta" in await foreign.remedy()
    await foreign.settle()
    assert not await foreign.waiting()
    files = [StoredBlob(key=str(digest), size=1, placed_at=at) for digest, at in ((Digest.of(b"1"), 2**60), (old, 1))]
    assert await foreign.theirs(files) == {str(Digest.of(b"1"))}
    assert await foreign.waiting()


async def test_the_report_of_a_bucket_is_read_back(cloud: ListedMemoryCloud, bucket: BucketTree) -> None:
    """Each problem once, whoever noted it, and how many of them hide something."""
    first = Problem(ProblemKind.DAMAGED_MANIFEST, NAME, "x")
    second = Problem(ProblemKind.DANGLING_TAG, NAME, "y", "names nothing")

    def work() -> None:
        report = BucketReport(bucket._client)
        report.append([])
        assert report.hidden() == 0
        report.append([first, second])
        BucketReport(bucket._client).append([first])
        assert sorted(report.problems(), key=lambda each: each.subject) == [first, second]
        assert report.hidden() == 1

    await asyncio.to_thread(work)
    assert len([name for name in cloud.objects if name.startswith("entrepot/")]) == 2


def as_folder(cloud: ListedMemoryCloud, root: Path) -> Tree:
    """Write what registry:2 sees of a bucket into a folder."""
    for name, content in cloud.objects.items():
        if name.startswith("docker/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    return Tree(root)


@dataclass(slots=True)
class Ours:
    """A registry over the bucket, which it has adopted."""

    cloud: ListedMemoryCloud
    tree: BucketTree
    stores: Stores
    intake: Intake
    foreign: ForeignObjects
    registry: Registry

    async def give_back(self, *, writing: bool) -> GivenBack:
        """Give the bucket back, or say what that would take."""
        files, since = BucketWriter(self.tree._client), await self.foreign.since()
        work = GivingBack(metadata=self.stores.metadata, tree=self.tree, files=files, since=since, writing=writing)
        return await work.run()


@pytest.fixture
async def ours(cloud: ListedMemoryCloud, bucket: BucketTree, tmp_path: Path) -> AsyncIterator[Ours]:
    """Adopt the bucket."""
    stores = await open_embedded(tmp_path / "other" / "entrepot")
    await prepare(stores.metadata, bucket)
    foreign = ForeignObjects(stores.metadata, bucket)
    intake = Intake(stores.metadata, bucket, FileLocks(tmp_path / "other"))
    await AdoptionRun(intake, ReportFile(tmp_path / "other"), foreign).run()
    registry = build_registry(
        metadata=stores.metadata,
        work=stores.work,
        store=ObjectBlobStore(cloud),
        settings=RegistrySettings(trash_seconds=0),
    )
    yield Ours(cloud, bucket, stores, intake, foreign, registry)
    await stores.close()


async def test_a_bucket_is_given_back(ours: Ours, tmp_path: Path) -> None:
    """What was pushed here is copied and linked, what was deleted goes, what is younger stays; again, nothing is."""
    pusher, here = Pusher(ours.registry, NAME), RepositoryName.parse("made/here")
    body = await pusher.image("new", b"pushed to us", b"shared")
    await pusher.manifest(body, "v1")
    await ours.registry.manifests.delete(NAME, Tag.parse("v2"), actor=ALICE)
    other = await Pusher(ours.registry, here).image("v1", b"only here")
    late = layout.tag_current_link(NAME, Tag.parse("late"))
    ours.cloud.objects[late], ours.cloud.times[late] = str(Digest.of(body)).encode(), await ours.foreign.since() + 1
    before = dict(ours.cloud.objects)
    plan = await ours.give_back(writing=False)
    assert ours.cloud.objects == before
    assert (plan.blobs, plan.bytes, plan.manifests) == (2, len(b"pushed to us") + len(b"only here"), 2)
    assert plan.theirs == [f"{NAME}:late"]
    assert await ours.give_back(writing=True) == plan
    folder = as_folder(ours.cloud, tmp_path / "back")
    for name in (NAME, NESTED, OTHER, here):
        wanted = await repository_contents.read(ours.stores.metadata, name)
        links = RepositoryLinks(folder, name)
        found = {str(link.tag): str(link.digest) for link in links.tags()}
        assert {tag: found.get(tag) for tag in wanted.tags} == wanted.tags
        assert {str(digest) for digest in links.revisions()} == set(wanted.manifests)
        assert {str(link.digest) for link in links.layers()} == wanted.blobs.keys()
    assert "v2" not in {str(link.tag) for link in RepositoryLinks(folder, NAME).tags()}
    for raw in (body, other, b"pushed to us", b"only here"):
        assert folder.manifest(Digest.of(raw)) == raw
    again = await ours.give_back(writing=True)
    assert (again.blobs, again.manifests, again.links, again.removed) == (0, 0, 0, 0)


async def test_what_registry2_did_to_its_bucket_meanwhile_is_followed(ours: Ours) -> None:
    """Young links alone: a tag that it moved, the manifest that it names; what was deleted here stays deleted."""
    other = await Pusher(ours.registry, OTHER).image("other", b"only here")
    await ours.registry.manifests.delete(NAME, Tag.parse("v2"), actor=ALICE)
    await ours.give_back(writing=True)
    await ours.foreign.settle()
    since = await ours.foreign.since()
    for path in (layout.tag_current_link(NAME, Tag.parse("v1")), layout.revision_link(NAME, Digest.of(other))):
        ours.cloud.objects[path], ours.cloud.times[path] = str(Digest.of(other)).encode(), since + 1
    intake = Intake(ours.stores.metadata, BucketTree(ours.tree._client, younger=since), ours.intake.claims)
    progress = await YoungLinks(intake, BucketReport(ours.tree._client), RegistrySettings()).run()
    assert (progress.total, progress.manifests, progress.tags) == (1, 1, 1)
    assert (await ours.registry.manifests.get(NAME, Tag.parse("v1"), content=True)).content == other
    with pytest.raises(ManifestUnknown):
        await ours.registry.manifests.get(NAME, Tag.parse("v2"), content=True)
