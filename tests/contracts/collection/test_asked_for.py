"""Collections that somebody asks for: what would go, what has no tag, and why something stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import update

from entrepot.lifecycle.collection import why
from entrepot.lifecycle.collection.full_collection import FromTrash, Request, Result, WholeCollection
from entrepot.lifecycle.collection.model import Tally
from entrepot.lifecycle.collection.preview import Preview
from entrepot.lifecycle.collection.untagged import Untagged
from entrepot.lifecycle.collection.why import Reason, Why
from entrepot.metadata import clock
from entrepot.metadata.contents import manifests
from entrepot.metadata.query import Query
from entrepot.metadata.tables import blobs
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry.quarantine import Quarantine
from entrepot.telemetry.progress import Progress, Unwatched
from tests.contracts.collection.conftest import GRACE, House
from tests.contracts.registry.pushing import ALICE, NAME, Pusher
from tests.support.manifests import entry, image, index


class Lines(Unwatched):
    """Progress that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def say(self, message: str) -> None:
        self.lines.append(message)


async def test_a_preview_says_what_a_collection_then_takes(house: House) -> None:
    """Each thing once, with the bytes; and it changes nothing."""
    child = await house.pusher.image(None, b"child")
    parent = index(entry(child))
    await house.pusher.manifest(parent, "multi")
    single = await house.pusher.image("v1", b"single")
    for content in (b"loose", b"loose"):
        await house.pusher.blob(content)
    for body in (parent, single):
        house.store._blobs[str(Digest.of(body))] = body
        house.store._placed_at[str(Digest.of(body))] = 0
        await house.registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    house.clock.advance(GRACE + 1)
    before = await house.count("review_queue"), await house.keys()
    lines = Lines()
    preview = await Preview(house.work, lines).run()
    assert (await house.count("review_queue"), await house.keys()) == before
    assert sorted(line.partition(":")[0] for line in lines.lines) == [
        "blob eligible for deletion",
        "blob eligible for deletion",
        "file eligible for deletion",
        "file eligible for deletion",
        "manifest eligible for deletion",
    ]
    assert f"manifest eligible for deletion: {NAME}@{Digest.of(child)}" in lines.lines
    taken = await house.collect()
    assert replace(preview, reviewed=0) == replace(taken, reviewed=0)
    assert taken.freed_bytes == len(b"loose") + len(b"single") + len(parent) + len(single)


async def test_manifests_without_a_tag_go_after_a_grace_when_asked_for(house: House) -> None:
    """Not what an index lists, what refers to something that is there, or what was pushed lately."""
    child = await house.pusher.image(None, b"child")
    tagged = index(entry(child))
    await house.pusher.manifest(tagged, "multi")
    signature = image(b"{}", subject=entry(child))
    await house.pusher.manifest(signature)
    loose = await house.pusher.image(None, b"loose")
    used = await house.pusher.image(None, b"used")
    house.clock.advance(GRACE + 1)
    recent = await house.pusher.image(None, b"recent")
    assert await Untagged(house.work).run(Unwatched(), dry_run=True) == 2
    assert await Untagged(house.work).run(Unwatched()) == 2
    assert await Untagged(house.work).run(Unwatched()) == 0
    assert (await house.collect()).manifests == 0
    await house.registry.manifests.add_tag(NAME, Digest.of(used), Tag.parse("used"), actor=ALICE)
    await house.collect_until_nothing_is_left()
    left = [body for body in (child, tagged, signature, loose, used, recent) if await _is_there(house, body)]
    assert left == [child, tagged, signature, used, recent]
    assert await house.blob(b"loose") is None


async def _is_there(house: House, body: bytes) -> bool:
    return await manifests.by_digest(house.kit.metadata, NAME, str(Digest.of(body))) is not None


async def test_a_whole_collection_empties_the_trash_first_and_says_what_waits(house: House) -> None:
    """The grace of what comes out of the trash begins then."""
    await house.pusher.blob(b"loose")
    emptied: list[bool] = []

    async def empty_trash(progress: Progress, *, everything: bool, dry_run: bool = False) -> FromTrash:
        await progress.say("emptying")
        if not dry_run:
            emptied.append(everything)
        return FromTrash(2 if everything else 0)

    quarantine = Quarantine(house.kit.metadata, house.kit.store, lambda: False)
    collection = WholeCollection(house.work, quarantine, empty_trash)
    result = await collection.run(Request(), Unwatched())
    assert emptied == [False]
    assert (result.collected, result.orphans, result.waiting) == (Tally(), None, 1)
    assert result.next_due_at is not None
    assert clock.now() < result.next_due_at < clock.after(GRACE + 1)
    house.clock.advance(GRACE + 1)
    result = await collection.run(Request(dry_run=True, empty_trash=True, compare=True), Unwatched())
    assert (emptied, result.collected.blobs, result.orphans) == ([False], 1, None)
    assert result.trash.entries == 2
    result = Result()
    await collection.run(Request(empty_trash=True, compare=True), Unwatched(), result)
    assert (emptied, result.collected.blobs) == ([False, True], 1)
    assert result.as_json()["orphans"]["files"] == 0


async def test_why_a_blob_is_kept(house: House) -> None:
    """The manifests that need it with their tags, or its grace."""
    body = await house.pusher.image("v1", b"layer")
    await house.pusher.manifest(body, "v2")
    other = Pusher(house.registry, RepositoryName.parse("team/other"))
    copy = await other.image(None, b"layer", b"more")
    asked = Why(house.kit.metadata)
    holding = await asked.about(Digest.of(b"layer"))
    assert holding is not None
    assert (holding.size, holding.state, holding.repositories) == (5, "live", ["team/app", "team/other"])
    assert holding.reasons == [
        Reason(reason=why.MANIFEST, repository=NAME, digest=str(Digest.of(body)), role="layer", tags=["v1", "v2"]),
        Reason(reason=why.MANIFEST, repository="team/other", digest=str(Digest.of(copy)), role="layer", tags=[]),
    ]
    for pusher, manifest in ((house.pusher, body), (other, copy)):
        await house.registry.manifests.delete(pusher.name, Digest.of(manifest), actor=ALICE)
    (reason,) = await _reasons(house, b"layer")
    assert reason.reason == why.GRACE
    assert reason.until is not None
    assert reason.until > clock.now()
    await house.kit.metadata.write(lambda tx: tx.execute(_DELETE))
    assert [reason.reason for reason in await _reasons(house, b"layer")] == [why.DELETING]
    assert await asked.about(Digest.of(b"nothing")) is None


_DELETE = Query(update(blobs).values(state="deleting"), "test.why.delete")


async def _reasons(house: House, content: bytes) -> list[Reason]:
    holding = await Why(house.kit.metadata).about(Digest.of(content))
    assert holding is not None
    return holding.reasons


async def test_why_a_manifest_is_kept(house: House) -> None:
    """A tag, an index, its subject, that it was pushed for itself, or its grace."""
    child = await house.pusher.image(None, b"child")
    parent = index(entry(child))
    await house.pusher.manifest(parent, "multi")
    signature = image(b"{}", subject=entry(child))
    await house.pusher.manifest(signature)
    alone = await house.pusher.image(None, b"alone")
    expected = {
        child: [Reason(reason=why.INDEX, repository=NAME, digest=str(Digest.of(parent)))],
        parent: [Reason(reason=why.TAG, repository=NAME, tags=["multi"])],
        signature: [Reason(reason=why.SUBJECT, repository=NAME, digest=str(Digest.of(child)))],
        alone: [Reason(reason=why.ROOT, repository=NAME)],
    }
    for body, reasons in expected.items():
        assert await _reasons(house, body) == reasons
    await house.registry.manifests.delete(NAME, Digest.of(parent), actor=ALICE)
    (reason,) = await _reasons(house, child)
    assert (reason.reason, reason.repository) == (why.GRACE, NAME)


async def test_why_something_is_kept_by_the_trash(house: House) -> None:
    """Until when, and where it was deleted; of a repository that was deleted as a whole, that the trash keeps it."""
    registry = house.kit.registry(grace_seconds=GRACE, trash_seconds=9 * GRACE)
    pusher = Pusher(registry)
    body = await pusher.image("v1", b"layer")
    await registry.manifests.delete(NAME, Digest.of(body), actor=ALICE)
    for content in (b"layer", body):
        (reason,) = await _reasons(house, content)
        assert (reason.reason, reason.repository) == (why.TRASH, NAME)
        assert reason.until is not None
        assert reason.until > clock.after(8 * GRACE)
    await pusher.image("v2", b"second")
    await registry.repositories.delete(NAME, actor=ALICE)
    (reason,) = await _reasons(house, b"second")
    assert reason.reason == why.TRASH


async def test_answers_are_bounded(house: House) -> None:
    """A layer that very many images need."""
    for number in range(why.MOST + 5):
        await house.pusher.image(f"v{number}", b"base", b"%d" % number)
    holding = await Why(house.kit.metadata).about(Digest.of(b"base"))
    assert holding is not None
    assert len(holding.reasons) == why.MOST
    assert holding.more
    few = await Why(house.kit.metadata).about(Digest.of(b"1"))
    assert few is not None
    assert (len(few.reasons), few.more) == (1, False)


@pytest.mark.parametrize("places", [3, 4])
async def test_answers_about_a_manifest_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch, places: int) -> None:
    """One that very many repositories have: as many places as there may be, and whether there are more."""
    monkeypatch.setattr(why, "MOST", 3)
    for number in range(places):
        body = await Pusher(house.registry, RepositoryName.parse(f"team/r{number}")).image("v1", b"base")
    holding = await Why(house.kit.metadata).about(Digest.of(body))
    assert holding is not None
    of_the_manifest = [reason for reason in holding.reasons if reason.reason == why.TAG]
    assert (len(of_the_manifest), holding.more) == (3, places > 3)
