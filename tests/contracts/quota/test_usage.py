"""What a project uses is, at any moment, what adding everything up from nothing gives."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest
from sqlalchemy import update

from entrepot.lifecycle.quotas import ProjectQuota
from entrepot.lifecycle.trash.restore import Restoring
from entrepot.metadata import clock
from entrepot.metadata.contents import blobs, projects, repositories
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.integrity import derived_rows, verification
from entrepot.metadata.lifecycle import trash
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs as blob_table
from entrepot.metadata.tables import project_reservations
from entrepot.metadata.usage import usage, usage_recount
from entrepot.metadata.usage.usage import FULL, SHARED, Counts, Limits, Standing
from entrepot.oci.digest import Digest
from entrepot.oci.errors import ManifestBlobUnknown, QuotaExceeded
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import quota
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, OWNER, Pusher, pieces
from tests.support.manifests import descriptor, entry, image, index

OTHER = RepositoryName.parse("team/other")
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"


async def standing(metadata: Database, name: str = "team") -> Standing:
    """Return how a project stands, after looking whether that is true."""
    project = await projects.find(metadata, name)
    assert project is not None
    found = await usage.find(metadata, project.id)
    assert await usage_recount.wrong_sum(metadata, project.id) is None
    return found


async def limit(metadata: Database, limits: Limits, name: str = "team") -> None:
    """Set a project's limits; the project is made where it is missing."""

    async def work(tx: object) -> None:
        project = await projects.ensure(tx, name)  # type: ignore[arg-type] - a transaction
        await usage.set_limits(tx, project.id, limits)  # type: ignore[arg-type] - a transaction

    await metadata.write(work)


async def test_a_manifest_counts_once_for_its_project(kit: Kit, pusher: Pusher) -> None:
    """The same bytes in two repositories: once where blobs are shared, twice where each image counts in full."""
    body = await pusher.image("1", b"layer")
    alone = (await standing(kit.metadata)).counts
    await Pusher(pusher.registry, OTHER).image("1", b"layer")
    both = (await standing(kit.metadata)).counts
    assert (both.manifests, both.manifest_bytes, both.blob_bytes) == (2, len(body), alone.blob_bytes)
    assert both.full_bytes == 2 * alone.full_bytes + len(body)
    project = await projects.find(kit.metadata, "team")
    assert project is not None
    assert await usage_recount.wrong_sum(kit.metadata, project.id) is None
    for name in (NAME, OTHER):
        await pusher.registry.manifests.delete(name, Digest.of(body), actor=ALICE)
        assert await usage_recount.wrong_sum(kit.metadata, project.id) is None


async def test_a_blob_counts_once_and_for_each_manifest(kit: Kit, pusher: Pusher) -> None:
    """Two images of two repositories that share a layer: the sums of both charge models, and the manifests' own."""
    one = await pusher.image("1", b"shared layer", b"a")
    two = await Pusher(pusher.registry, OTHER).image("2", b"shared layer", b"bb")
    found = await standing(kit.metadata)
    assert found.counts == Counts(
        blob_bytes=len(b"{}shared layerabb"),
        full_bytes=len(b"{}shared layera{}shared layerbb"),
        manifest_bytes=len(one) + len(two),
        manifests=2,
    )


async def test_pushing_the_same_again_changes_nothing(kit: Kit, pusher: Pusher) -> None:
    """Neither the same tag nor another one for the same manifest is charged."""
    await pusher.image("1", b"a")
    before = await standing(kit.metadata)
    body = await pusher.image("1", b"a")
    await pusher.manifest(body, "2", "3")
    assert (await standing(kit.metadata)).counts == before.counts


async def test_deleting_gives_back(kit: Kit, pusher: Pusher) -> None:
    """What another manifest still needs stays charged; in the end nothing is."""
    registry = kit.registry(trash_seconds=0)
    first = await pusher.image("1", b"shared", b"only here")
    second = await pusher.image("2", b"shared")
    await registry.manifests.delete(NAME, Digest.of(first), actor=ALICE)
    assert (await standing(kit.metadata)).counts.blob_bytes == len(b"{}shared")
    await registry.manifests.delete(NAME, Digest.of(second), actor=ALICE)
    assert (await standing(kit.metadata)).counts == Counts()


async def test_the_trash_counts(kit: Kit, pusher: Pusher) -> None:
    """A deleted image that can be restored uses what it used."""
    body = await pusher.image("1", b"layer")
    before = await standing(kit.metadata)
    await kit.registry(trash_seconds=3600).manifests.delete(NAME, Digest.of(body), actor=ALICE)
    assert (await standing(kit.metadata)).counts == before.counts


async def test_a_deleted_repository_gives_back_when_it_is_gone(kit: Kit, pusher: Pusher) -> None:
    """Without a trash, deleting a repository takes all it used away."""
    await pusher.image("1", b"layer")
    await pusher.image("2", b"another layer")
    await kit.registry(trash_seconds=0).repositories.delete(NAME, actor=ALICE)
    assert (await standing(kit.metadata)).counts == Counts()


async def test_an_index_counts_as_a_manifest(kit: Kit, pusher: Pusher) -> None:
    """Its entries are charged by themselves, its own bytes with it."""
    child = await pusher.image(None, b"layer")
    body = index(entry(child))
    await pusher.manifest(body, "multi")
    found = (await standing(kit.metadata)).counts
    assert (found.manifests, found.manifest_bytes) == (2, len(child) + len(body))


async def test_a_push_beyond_the_limit_is_refused_and_leaves_nothing(kit: Kit, pusher: Pusher) -> None:
    """The answer says what is used; the tag, the manifest and every byte of it are as if nobody had pushed."""
    first = await pusher.image("1", b"x" * 100)
    before = await standing(kit.metadata)
    await limit(kit.metadata, Limits(hard_bytes=before.bytes + 50))
    with pytest.raises(QuotaExceeded, match="team would be") as refused:
        await pusher.image("2", b"y" * 60)
    assert refused.value.detail["limits"]["bytes"] == before.bytes + 50  # type: ignore[index] - a dictionary
    assert (await standing(kit.metadata)).counts == before.counts
    assert (await pusher.registry.manifests.get(NAME, Tag.parse("1"), content=True)).content == first
    assert await kit.store.uploads() == []


async def test_what_a_refused_manifest_had_reserved_is_free_at_once(kit: Kit, pusher: Pusher) -> None:
    """Blobs that fit are reserved; the manifest that does not fit gives them back, and others have that room."""
    await limit(kit.metadata, Limits(hard_bytes=300))
    for content in (b"{}", b"y" * 200):
        await pusher.blob(content)
    assert (await standing(kit.metadata)).counts.reserved_bytes == 202
    with pytest.raises(QuotaExceeded):
        await pusher.manifest(image(b"{}", b"y" * 200), "big")
    assert (await standing(kit.metadata)).counts == Counts()


async def test_reservations_end_with_their_manifest(kit: Kit, pusher: Pusher) -> None:
    """What a manifest refers to is charged, and no longer reserved."""
    await limit(kit.metadata, Limits(hard_bytes=10_000))
    await pusher.image("1", b"layer")
    found = (await standing(kit.metadata)).counts
    assert (found.reserved_bytes, found.blob_bytes) == (0, len(b"{}layer"))


async def test_reservations_end_by_themselves(kit: Kit) -> None:
    """A blob that nobody came back for does not count once its grace is over."""
    await limit(kit.metadata, Limits(hard_bytes=10_000))
    hasty = Pusher(kit.registry(grace_seconds=-1.0))
    await hasty.blob(b"forgotten")
    assert (await standing(kit.metadata)).counts.reserved_bytes == len(b"forgotten")
    await hasty.image("1", b"layer")
    assert (await standing(kit.metadata)).counts.reserved_bytes == 0


async def test_the_charge_model_decides(kit: Kit, pusher: Pusher) -> None:
    """Twice the same layer in one project is free when shared, and not when every reference counts."""
    await pusher.image("1", b"z" * 500)
    manifest = (await standing(kit.metadata)).counts.manifest_bytes
    room = 2 * manifest + 700
    await limit(kit.metadata, Limits(charge=FULL, hard_bytes=room))
    with pytest.raises(QuotaExceeded):
        await Pusher(pusher.registry, OTHER).image("2", b"z" * 500)
    await limit(kit.metadata, Limits(charge=SHARED, hard_bytes=room))
    await Pusher(pusher.registry, OTHER).image("2", b"z" * 500)


async def test_artifacts_and_repositories_have_limits_too(kit: Kit, pusher: Pusher) -> None:
    """One more manifest, or one more repository, than the project may have is refused with its number."""
    await pusher.image("1", b"a")
    await limit(kit.metadata, Limits(hard_manifests=1))
    with pytest.raises(QuotaExceeded, match="limit of 1 artifacts"):
        await pusher.image("2", b"b")
    await limit(kit.metadata, Limits(hard_repositories=1))
    with pytest.raises(QuotaExceeded, match="limit of 1 repositories"):
        await Pusher(pusher.registry, OTHER).blob(b"b")
    assert await repositories.find(kit.metadata, OTHER) is None


async def test_a_project_over_its_repositories_still_takes_pushes_into_those_it_has(kit: Kit, pusher: Pusher) -> None:
    """A limit that was lowered below what is there stops new repositories alone."""
    for name in (NAME, OTHER):
        await Pusher(pusher.registry, name).image("1", b"a")
    await limit(kit.metadata, Limits(hard_repositories=1))
    for name in (NAME, OTHER):
        body = await Pusher(pusher.registry, name).image("2", b"b")
        assert (await pusher.registry.manifests.get(name, Tag.parse("2"), content=True)).content == body
    with pytest.raises(QuotaExceeded, match="limit of 1 repositories"):
        await Pusher(pusher.registry, RepositoryName.parse("team/third")).blob(b"c")


async def test_people_are_warned_before_they_are_refused(kit: Kit, pusher: Pusher) -> None:
    """A push that goes beyond the soft limit, or 90 % of the hard one, says so and succeeds."""
    body = image(b"{}", b"layer")
    for content in (b"{}", b"layer"):
        await pusher.blob(content)
    assert (await pusher.manifest(body, "1")).warning is None
    await limit(kit.metadata, Limits(hard_bytes=100_000, soft_bytes=10))
    await pusher.blob(b"more")
    warned = await pusher.manifest(image(b"{}", b"more"), "2")
    assert warned.warning is not None
    assert "a limit of 97.7 KiB" in warned.warning


async def test_a_full_project_refuses_an_upload_before_its_bytes(kit: Kit, pusher: Pusher) -> None:
    """Whoever is over the limit already need not send anything."""
    await pusher.image("1", b"a" * 50)
    await limit(kit.metadata, Limits(hard_bytes=20))
    with pytest.raises(QuotaExceeded):
        await pusher.registry.uploads.start(NAME, principal=OWNER, actor=ALICE)


async def test_room_is_made_before_a_push_is_refused(kit: Kit) -> None:
    """What can go is asked first; when that helps, the push goes on as if nothing had been."""
    asked: list[int] = []

    async def make_room(refused: QuotaExceeded) -> bool:
        asked.append(refused.excess)
        await limit(kit.metadata, Limits(hard_bytes=10_000))
        return refused.project > 0

    await limit(kit.metadata, Limits(hard_bytes=300))
    pusher = Pusher(kit.registry(make_room=make_room))
    await pusher.image("1", b"m" * 290)
    assert len(asked) == 1
    assert asked[0] > 0


async def test_many_pushes_at_once_never_go_beyond_the_limit(kit: Kit, pusher: Pusher) -> None:
    """Of 24 pushes at once as many succeed as there is room for, to the byte."""
    size = len(image(b"{}", b"%02d" % 10 + b"q" * 98))
    room = 2 + 5 * (100 + size)
    await limit(kit.metadata, Limits(hard_bytes=room))

    async def push(number: int) -> bool:
        try:
            await pusher.image(f"t{number}", b"%02d" % number + b"q" * 98)
        except (QuotaExceeded, ManifestBlobUnknown):
            return False
        return True

    done = await asyncio.gather(*(push(number) for number in range(10, 34)))
    while not any(done):  # all together may have reserved more than there is, and nobody got through
        done = [await push(number) for number in range(40, 64)]
    found = await standing(kit.metadata)
    assert found.bytes == 2 + sum(done) * (100 + size) + found.counts.reserved_bytes <= room
    assert found.counts.manifests == sum(done) <= 5
    await pusher.registry.uploads.start(NAME, principal=OWNER, actor=ALICE)


async def test_the_second_of_two_uploads_that_both_had_room_is_refused(kit: Kit, pusher: Pusher) -> None:
    """What the first has reserved counts when the second is committed, whatever was seen before."""
    await pusher.blob(b"{}")
    await limit(kit.metadata, Limits(hard_bytes=150))
    seen = await quota.limited(kit.metadata, NAME)
    assert seen is not None
    seen.require_room(100)
    ids = []
    for content in (b"1" * 100, b"2" * 100):
        put = partial(blobs.put, digest=str(Digest.of(content)), size=100, storage_key="k", review_after=1)
        ids.append(await kit.metadata.write(put))
    await kit.metadata.write(partial(seen.reserve, blob_id=ids[0], size=100, seconds=60))
    with pytest.raises(QuotaExceeded):
        await kit.metadata.write(partial(seen.reserve, blob_id=ids[1], size=100, seconds=60))
    assert (await standing(kit.metadata)).counts.reserved_bytes == 100


@pytest.mark.parametrize(
    ("used", "limits", "told"),
    [
        (90, Limits(hard_bytes=100), False),
        (91, Limits(hard_bytes=100), True),
        (91, Limits(hard_bytes=100, soft_bytes=95), False),
        (96, Limits(soft_bytes=95), True),
        (10**9, Limits(), False),
    ],
)
def test_people_are_told_from_nine_tenths_of_a_limit_on(used: int, limits: Limits, *, told: bool) -> None:
    """Where no soft limit says otherwise."""
    assert (quota.warning("team", Standing(Counts(blob_bytes=used), limits)) is not None) is told


async def test_the_cost_of_a_charge_does_not_grow_with_the_project(kit: Kit, pusher: Pusher) -> None:
    """A push into a project of 200 images takes as many statements as one into an empty project."""
    counts = []
    for number in range(200):
        before = kit.metadata.statistics.statements
        await pusher.image(f"t{number}", b"%d" % number)
        counts.append(kit.metadata.statistics.statements - before)
    assert counts[-1] <= counts[1]


async def test_json_of_a_refusal(pusher: Pusher, kit: Kit) -> None:
    """The detail can be sent to a client."""
    await limit(kit.metadata, Limits(hard_bytes=1))
    session = await pusher.registry.uploads.start(NAME, principal=OWNER, actor=ALICE)
    digest, chunks = Digest.of(b"bytes"), pieces(b"bytes")
    with pytest.raises(QuotaExceeded) as refused:
        await pusher.registry.uploads.complete(NAME, session.id, digest, chunks, principal=OWNER, actor=ALICE)
    assert json.loads(json.dumps(refused.value.detail))["charge"] == SHARED


async def test_a_late_layer_takes_no_reference_to_a_lost_one(kit: Kit, pusher: Pusher) -> None:
    """The manifest still needs what the store lost: it stays charged, and whole once somebody pushes it again."""
    one, two = b"foreign one", b"foreign two!"
    body = image(b"{}", layers=[descriptor(layer, FOREIGN) for layer in (one, two)])
    for content in (b"{}", one):
        await pusher.blob(content)
    await pusher.manifest(body, "1")
    row = await blobs.find(kit.metadata, str(Digest.of(one)))
    assert row is not None
    await kit.metadata.write(lambda tx: blobs.lose(tx, [row.id]))
    await pusher.blob(two)
    await pusher.manifest(body, "1")
    assert (await standing(kit.metadata)).counts.blob_bytes == len(b"{}") + len(one) + len(two)
    assert await derived_rows.wrong_counts(kit.metadata, 1, 99) == []


async def test_a_size_that_was_wrong_when_it_was_charged(kit: Kit, pusher: Pusher) -> None:
    """Whoever corrects the size of a blob corrects the sums of all who use it, by either charge model."""
    await pusher.image("1", b"layer")
    await Pusher(pusher.registry, OTHER).image("2", b"layer", b"another")
    row = await blobs.stored_as(kit.metadata, str(Digest.of(b"layer")))
    assert row is not None
    assert await kit.metadata.write(lambda tx: verification.resize(tx, row.id, row.generation, was=row.size, size=500))
    assert (await standing(kit.metadata)).counts.full_bytes == 2 * (500 + len(b"{}")) + len(b"another")


async def test_a_layer_of_another_size_than_was_stated(kit: Kit, pusher: Pusher) -> None:
    """A taken-over folder had lost a layer whose manifest lies about it: the bytes count when they come."""
    await pusher.image("1", b"layer")
    row = await blobs.find(kit.metadata, str(Digest.of(b"layer")))
    assert row is not None
    await kit.metadata.write(lambda tx: blobs.lose(tx, [row.id]))
    project = await projects.find(kit.metadata, "team")
    assert project is not None

    async def lie(tx: Transaction) -> None:
        await tx.execute(Query(update(blob_table).values(size=99).where(blob_table.c.id == row.id), "test.lie"))
        await usage_recount.settle(tx, project.id)

    await kit.metadata.write(lie)
    await pusher.blob(b"layer")
    assert (await standing(kit.metadata)).counts.blob_bytes == len(b"{}layer")


@pytest.mark.parametrize("lapsed", [False, True])
async def test_a_blob_that_is_kept_by_asking_for_it_stays_charged(kit: Kit, pusher: Pusher, *, lapsed: bool) -> None:
    """HEAD renews its grace and what is reserved for it alike, also when that ended a moment ago."""
    await limit(kit.metadata, Limits(hard_bytes=6000))
    await pusher.blob(b"x" * 4000)
    now = clock.now()

    async def pass_time(tx: Transaction) -> None:
        await tx.execute(Query(update(blob_table).values(review_after=now + 1_000_000), "test.review"))
        await tx.execute(Query(update(project_reservations).values(expires_at=now - 1), "test.expire"))

    await kit.metadata.write(pass_time)
    if lapsed:
        await pusher.image("0")
    await pusher.registry.blobs.stat(NAME, Digest.of(b"x" * 4000))
    await pusher.image("1")
    assert (await standing(kit.metadata)).counts.reserved_bytes == 4000


async def test_neither_mounts_nor_restorations_go_beyond_the_repositories(kit: Kit) -> None:
    """Whatever makes a repository, a project has no more of them than it may."""
    registry = kit.registry(trash_seconds=3600)
    await Pusher(registry).image("1", b"a")
    await limit(kit.metadata, Limits(hard_repositories=1))
    with pytest.raises(QuotaExceeded, match="limit of 1 repositories"):
        await registry.blobs.mount(OTHER, Digest.of(b"a"), NAME, actor=ALICE)
    await registry.repositories.delete(NAME, actor=ALICE)
    await Pusher(registry, OTHER).image("1", b"b")
    entry_of_it = await trash.find(kit.metadata, 1)
    assert entry_of_it is not None
    restoring = Restoring.over(kit.metadata, registry.lookup, registry.settings, ProjectQuota())
    with pytest.raises(QuotaExceeded, match="limit of 1 repositories"):
        await restoring.restore(entry_of_it, replace=False, by=ALICE)
    await registry.repositories.delete(OTHER, actor=ALICE)
    await restoring.restore(entry_of_it, replace=False, by=ALICE)
    await standing(kit.metadata)
