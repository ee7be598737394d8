"""The check-up sees what is wrong, in bytes and rows, both ways; repairs what it can; and finds nothing after that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.integrity.model import MOST, Outcome, Problem, Report
from entrepot.metadata.contents import blobs
from entrepot.metadata.integrity import derived_rows, manifest_references
from entrepot.metadata.query import RawQuery
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from tests.contracts.integrity.conftest import Ward
from tests.contracts.registry.conftest import Kit
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import digest_of, entry, image, index

LAYERS = [f"layer {number}".encode() for number in range(6)]
OTHER = RepositoryName.parse("other/app")


@pytest.fixture
async def images(pusher: Pusher) -> list[bytes]:
    """Push images to two repositories, an index of two of them, and a blob that no manifest needs."""
    bodies = [await pusher.image(f"v{number}", layer) for number, layer in enumerate(LAYERS)]
    other = Pusher(pusher.registry, OTHER)
    await other.image("v0", LAYERS[0])
    await pusher.manifest(index(*(entry(body) for body in bodies[:2])), "all")
    await pusher.blob(b"loose")
    return bodies


def told(report: Report) -> list[tuple[str, str, str]]:
    """List what a report says."""
    return sorted((problem.what, problem.subject, problem.outcome) for problem in report.problems)


async def test_a_sound_registry_has_nothing_wrong(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """Everything is looked at, nothing is written."""
    before = kit.metadata.statistics.transactions
    report = await ward.examined()
    assert told(report) == []
    assert (report.manifests, report.blobs, report.files, report.open) == (8, 8, 8, 0)
    assert report.blobs_read == 8
    assert kit.metadata.statistics.transactions == before
    assert len(images) == 6


async def test_damaged_and_missing_blobs(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """They are named with what needs them; with repair they are out of sight, and stay named until they are whole."""
    damaged, missing = ward.damage(LAYERS[0]), ward.lose(LAYERS[1])
    before = kit.metadata.statistics.transactions
    report = await ward.examined()
    assert told(report) == [
        ("blob damaged", str(damaged), Outcome.FOUND),
        ("blob missing", str(missing), Outcome.FOUND),
    ]
    assert f"{NAME}@{Digest.of(images[0])}" in report.problems[0].detail + report.problems[1].detail
    assert OTHER in report.problems[0].detail + report.problems[1].detail
    assert kit.metadata.statistics.transactions == before
    assert (await ward.state(LAYERS[0]), await ward.state(LAYERS[1])) == (blobs.LIVE, blobs.LIVE)
    for _ in range(2):
        report = await ward.examined(repair=True)
        assert {outcome for _, _, outcome in told(report)} == {Outcome.OUT_OF_SIGHT}
        assert report.open == 2
    assert (await ward.state(LAYERS[0]), await ward.state(LAYERS[1])) == (blobs.DAMAGED, blobs.MISSING)
    ward.put_back(LAYERS[0])
    ward.put_back(LAYERS[1])
    report = await ward.examined(repair=True)
    assert {what for what, _, _ in told(report)} == {"blob whole again"}
    assert report.open == 0
    assert told(await ward.examined()) == []
    assert await ward.open_findings() == []


async def test_a_sample_reads_some_and_looks_at_all(ward: Ward, images: list[bytes]) -> None:
    """With 0% nothing is read: a cut blob is seen by its length, a flipped bit is not."""
    ward.damage(LAYERS[0])
    cut = Digest.of(LAYERS[1])
    ward.store._blobs[str(cut)] = b"l"
    report = await ward.examined(sample=0.0)
    assert told(report) == [("blob damaged", str(cut), Outcome.FOUND)]
    assert (report.blobs, report.blobs_read, report.bytes_read) == (8, 0, 0)
    assert len(images) == 6


async def test_an_empty_storage_is_reported_and_left(ward: Ward, images: list[bytes]) -> None:
    """When not one blob is there, repair writes nothing: the disk may only be elsewhere."""
    ward.store._blobs.clear()
    report = await ward.examined(repair=True)
    assert report.found == {"blob missing": 8}
    assert "mounted" in report.problems[0].detail
    assert await ward.state(LAYERS[0]) == blobs.LIVE
    assert len(images) == 6


async def test_a_row_with_a_wrong_size_is_corrected(ward: Ward, images: list[bytes]) -> None:
    """The bytes decide; what the project uses follows, which was added up from other sizes."""
    digest = Digest.of(LAYERS[2])
    await ward.sql(f"UPDATE blobs SET size = 1 WHERE digest = '{digest}'")
    await ward.sql(f"UPDATE manifests SET size = 1 WHERE digest = '{Digest.of(images[2])}'")
    expected = [
        ("size wrong", str(digest), Outcome.REPAIRED),
        ("size wrong", f"{NAME}@{Digest.of(images[2])}", Outcome.REPAIRED),
        ("sums wrong", "team", Outcome.REPAIRED),
    ]
    assert told(await ward.examined(repair=True)) == sorted(expected)
    assert told(await ward.examined()) == []


async def test_sums_that_drifted_are_corrected(ward: Ward, images: list[bytes]) -> None:
    """What a project is charged is held against what there is, and put right with repair."""
    await ward.sql(
        "UPDATE project_usage SET blob_bytes = blob_bytes - 900, manifests = manifests + 1"
        " WHERE project_id = (SELECT id FROM projects WHERE name = 'team')"
    )
    assert told(await ward.examined()) == [("sums wrong", "team", Outcome.FOUND)]
    assert told(await ward.examined(repair=True)) == [("sums wrong", "team", Outcome.REPAIRED)]
    assert told(await ward.examined()) == []
    assert len(images) == 6


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("DELETE FROM artifacts WHERE manifest_id = (SELECT min(manifest_id) FROM artifacts)", "list wrong"),
        ("UPDATE repositories SET artifact_count = artifact_count + 7 WHERE name = 'team/app'", "sums wrong"),
        ("UPDATE sums SET value = value - 3 WHERE name = 'bytes' AND part = 0", "sums wrong"),
    ],
)
async def test_what_lists_and_figures_show_is_corrected(ward: Ward, images: list[bytes], harm: str, what: str) -> None:
    """What triggers keep is held against what there is."""
    await ward.sql(harm)
    ((found, subject, outcome),) = told(await ward.examined())
    assert (found, outcome) == (what, Outcome.FOUND)
    assert told(await ward.examined(repair=True)) == [(what, subject, Outcome.REPAIRED)]
    assert told(await ward.examined()) == []
    assert len(images) == 6


async def test_a_damaged_manifest_comes_back_from_a_spare_copy(ward: Ward, images: list[bytes]) -> None:
    """registry:2's file has the bytes; a spare that is damaged too is of no use."""
    digest = Digest.of(images[3])
    binary = "X'7B7D'" if ward.kit.metadata.dialect == "sqlite" else "'\\x7b7d'"
    await ward.sql(f"UPDATE manifest_contents SET content = {binary} WHERE digest = '{digest}'")
    subject = f"{NAME}@{digest}"

    async def bad(_digest: Digest) -> bytes:
        return b"[]"

    async def good(_digest: Digest) -> bytes:
        return images[3]

    assert told(await ward.examined(spare=bad)) == [("manifest damaged", subject, Outcome.FOUND)]
    assert told(await ward.examined(repair=True)) == [("manifest damaged", subject, Outcome.OUT_OF_SIGHT)]
    assert await ward.open_findings() == [("manifest damaged", str(digest))]
    assert told(await ward.examined(repair=True, spare=good)) == [("manifest damaged", subject, Outcome.REPAIRED)]
    assert told(await ward.examined()) == []
    assert await ward.open_findings() == []


async def _lose_a_reference(ward: Ward, images: list[bytes]) -> str:
    digest = Digest.of(images[4])
    await ward.sql(
        "DELETE FROM manifest_blobs WHERE position = 1 AND manifest_id IN "
        f"(SELECT id FROM manifests WHERE digest = '{digest}')"
    )
    return f"{NAME}@{digest}"


async def _add_a_reference(ward: Ward, images: list[bytes]) -> str:
    digest = Digest.of(images[4])
    await ward.sql(
        "INSERT INTO manifest_blobs (manifest_id, position, blob_id, role) SELECT m.id, 9, b.id, 'layer' "
        f"FROM manifests m, blobs b WHERE m.digest = '{digest}' AND b.digest = '{digest_of(LAYERS[5])}'"
    )
    return f"{NAME}@{digest}"


async def _cut_off_a_child(ward: Ward, images: list[bytes]) -> str:
    await ward.sql("UPDATE manifest_children SET child_id = NULL WHERE position = 0")
    body = index(*(entry(body) for body in images[:2]))
    return f"{NAME}@{Digest.of(body)}"


@pytest.mark.parametrize("harm", [_lose_a_reference, _add_a_reference, _cut_off_a_child])
async def test_references_that_differ_from_the_manifest(
    ward: Ward, kit: Kit, images: list[bytes], harm: Callable[[Ward, list[bytes]], Awaitable[str]]
) -> None:
    """Rows are made anew from what the manifest says, and the counts that follow from them."""
    rows = await manifest_references.page(kit.metadata, after=0, limit=99)
    ids = [row.id for row in rows]
    before = (
        await manifest_references.of_blobs(kit.metadata, ids),
        await manifest_references.of_children(kit.metadata, ids),
    )
    subject = await harm(ward, images)
    assert ("references wrong", subject, Outcome.FOUND) in told(await ward.examined())
    report = await ward.examined(repair=True)
    assert ("references wrong", subject, Outcome.REPAIRED) in told(report)
    assert report.open == 0
    assert told(await ward.examined()) == []
    after = (
        await manifest_references.of_blobs(kit.metadata, ids),
        await manifest_references.of_children(kit.metadata, ids),
    )
    assert after == before


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ('UPDATE project_blobs SET "references" = "references" + 3 WHERE blob_id = 2', "count wrong"),
        ("DELETE FROM project_blobs WHERE blob_id = 3", "count wrong"),
        ("DELETE FROM repository_blobs WHERE blob_id = 2", "link missing"),
        ("UPDATE repository_blobs SET lapses_at = 5 WHERE blob_id = 2", "link missing"),
        ("UPDATE manifest_blobs SET repository_id = 99 WHERE blob_id = 3", "reference misplaced"),
        ("DELETE FROM review_queue", "never reviewed"),
    ],
)
async def test_rows_that_follow_from_others(ward: Ward, images: list[bytes], harm: str, what: str) -> None:
    """Sums, links and the queue of the collector are held against what they follow from, and put right."""
    await ward.sql(harm)
    report = await ward.examined()
    assert {found for found, _, _ in told(report)} - {"sums wrong"} == {what}  # which follow from wrong counts
    assert report.open > 0
    report = await ward.examined(repair=True)
    assert {(found, outcome) for found, _, outcome in told(report)} == {(what, Outcome.REPAIRED)}
    assert report.open == 0
    assert told(await ward.examined()) == []
    assert len(images) == 6


async def test_what_is_unreviewed_gets_a_grace(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """A blob that nothing refers to waits for a collection again, and not for less than the grace."""
    await ward.sql("DELETE FROM review_queue")
    await ward.sql("UPDATE blobs SET review_after = NULL")
    await ward.examined(repair=True, grace_seconds=500.0)
    rows = await kit.metadata.all(RawQuery("SELECT kind, reason FROM review_queue"))
    assert rows == [("blob", "found by doctor")]
    row = await blobs.find(kit.metadata, digest_of(b"loose"))
    assert row is not None
    assert row.review_after is not None
    assert len(images) == 6


async def test_a_tag_of_another_repository_is_named(ward: Ward, images: list[bytes]) -> None:
    """Which of the two is meant only a person can say."""
    await ward.sql(
        "UPDATE tags SET manifest_id = (SELECT m.id FROM manifests m JOIN repositories r ON r.id = m.repository_id "
        "WHERE r.name = 'other/app') WHERE name = 'v3'"
    )
    for repair in (False, True):
        report = await ward.examined(repair=repair)
        assert told(report) == [("tag astray", f"{NAME}:v3", Outcome.FOUND)]
    assert len(images) == 6


async def test_bytes_of_no_manifest_go(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """What no repository has is of no use to anybody."""
    binary = "X'7B7D'" if kit.metadata.dialect == "sqlite" else "'\\x7b7d'"
    await ward.sql(f"INSERT INTO manifest_contents (digest, content) VALUES ('{digest_of(b'{}x')}', {binary})")
    assert told(await ward.examined()) == [("manifest unused", digest_of(b"{}x"), Outcome.FOUND)]
    assert told(await ward.examined(repair=True)) == [("manifest unused", digest_of(b"{}x"), Outcome.REPAIRED)]
    assert told(await ward.examined()) == []
    assert len(images) == 6


async def test_files_that_nothing_speaks_of(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """They are named, and with repair queued for the collector; manifests' own files and adopted aliases are known."""
    ward.put_back(b"left by a crash")
    ward.put_back(images[0])
    alias = Digest.of(LAYERS[5], "sha512")
    await ward.sql(f"UPDATE blobs SET digest = '{alias}' WHERE digest = '{digest_of(LAYERS[5])}'")
    report = await ward.examined()
    unknown = [problem for problem in report.problems if problem.check == "files"]
    assert [problem.subject for problem in unknown] == [digest_of(b"left by a crash")]
    await ward.examined(repair=True)
    rows = await kit.metadata.all(RawQuery("SELECT digest FROM review_queue WHERE kind = 'file'"))
    assert rows == [(digest_of(b"left by a crash"),)]
    report = await ward.examined()
    assert [problem for problem in report.problems if problem.check == "files"] == []
    assert report.queued == 1


async def test_a_blob_that_a_manifest_cannot_do_without(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """When its repository does not even know it, the image is named; a push of the blob mends it."""
    digest = digest_of(LAYERS[4])
    for table in ("manifest_blobs", "repository_blobs", "project_blobs"):
        await ward.sql(f"DELETE FROM {table} WHERE blob_id IN (SELECT id FROM blobs WHERE digest = '{digest}')")
    await ward.sql(f"DELETE FROM blobs WHERE digest = '{digest}'")
    report = await ward.examined(repair=True)
    assert ("blob unknown", f"{NAME}@{Digest.of(images[4])}", Outcome.FOUND) in told(report)
    pusher = Pusher(kit.registry())
    await pusher.blob(LAYERS[4])
    await pusher.manifest(images[4], "v4")
    assert told(await ward.examined()) == []


async def test_what_is_in_the_trash_is_sound(ward: Ward, kit: Kit, images: list[bytes]) -> None:
    """A deleted index, a deleted image of it, and a tag that went: each lies in the trash as it should."""
    registry = kit.registry(trash_seconds=3600.0)
    await registry.manifests.delete(NAME, Tag.parse("all"), actor=ALICE)
    await registry.manifests.delete(NAME, Digest.of(index(*(entry(body) for body in images[:2]))), actor=ALICE)
    await registry.manifests.delete(NAME, Digest.of(images[0]), actor=ALICE)
    await registry.manifests.delete(NAME, Digest.of(images[5]), actor=ALICE)
    assert told(await ward.examined()) == []
    assert told(await ward.examined(repair=True)) == []


async def test_what_changes_during_the_check_up_is_nothing_wrong(
    ward: Ward, kit: Kit, images: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pushes and deletes between any two looks of it leave a sound registry sound."""
    pusher = Pusher(kit.registry())
    real_stat, real_page, real_counts = MemoryBlobStore.stat, manifest_references.page, derived_rows.unlinked
    count = 0

    async def meddle() -> None:
        nonlocal count
        count += 1
        await pusher.image(f"new{count}", f"new layer {count}".encode())
        if count % 2:
            await pusher.registry.manifests.delete(
                NAME, Digest.of(image(b"{}", f"new layer {count}".encode())), actor=ALICE
            )

    async def stat(store: MemoryBlobStore, key: str) -> object:
        if count < 40 and key == digest_of(LAYERS[count % 6]):
            await meddle()
        return await real_stat(store, key)

    async def page(*arguments: object, **options: object) -> object:
        found = await real_page(*arguments, **options)  # type: ignore[arg-type]
        await meddle()
        return found

    async def unlinked(*arguments: object) -> object:
        await meddle()
        found = await real_counts(*arguments)  # type: ignore[arg-type]
        await meddle()
        return found

    monkeypatch.setattr(MemoryBlobStore, "stat", stat)
    monkeypatch.setattr(manifest_references, "page", page)
    monkeypatch.setattr(derived_rows, "unlinked", unlinked)
    assert told(await ward.examined()) == []
    assert count > 3
    assert len(images) == 6


def test_a_report_lists_the_first_problems_and_counts_all() -> None:
    """A disk full of damage does not become a memory full of it."""
    report = Report()
    for number in range(MOST + 5):
        report.add(Problem(check="blobs", what="blob damaged", subject=str(number)))
    assert len(report.problems) == MOST
    assert (report.found["blob damaged"], report.open) == (MOST + 5, MOST + 5)
