"""An analysis finds what adding everything up from nothing gives, however often it is broken off."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

import pytest

from entrepot.insight import analysis as rules
from entrepot.insight import write_batches
from entrepot.insight.analysis import Analyser
from entrepot.metadata.database import Reader, Work
from entrepot.metadata.errors import TookTooLong
from entrepot.metadata.query import RawQuery
from entrepot.metadata.usage import analyses
from entrepot.metadata.usage.analyses import StoredBlob
from entrepot.oci.digest import Digest
from entrepot.telemetry.progress import Stopped, Unwatched
from tests.contracts.insight.conftest import World
from tests.contracts.insight.recounting import recount
from tests.contracts.registry.pushing import ALICE
from tests.support.manifests import descriptor, entry, image, index

T = TypeVar("T")

_ALL_PARTS = (
    "SELECT kind, subject_id, logical_bytes, stored_bytes, own_bytes, unique_bytes, trash_bytes, manifests "
    "FROM analysis_parts"
)
_NOTHING = (0, 0, 0, 0, 0, 0)


class StopsAfter(Unwatched):
    """Progress that asks for an end after some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    async def step(self, done: int, total: int | None = None) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Stopped


async def fill(world: World) -> None:
    """Put into a registry what makes a difference: shares, an index, a signature, trash, and what nothing needs."""
    keeping = World.of(world.kit, trash_seconds=3600)
    for name, layers in {
        "team/app": (b"of all", b"own layer of app"),
        "team/web": (b"of all", b"of the team"),
        "team/db": (b"of the team",),
        "other/app": (b"of all", b"other"),
    }.items():
        await keeping.pusher(name).image("1", *layers)
    app = keeping.pusher("team/app")
    child = await app.image(None, b"child", b"child")
    await app.manifest(index(entry(child)), "multi")
    await app.manifest(image(b"{}", b"child", subject=descriptor(child)), None)
    gone = await app.image("gone", b"of all", b"of the trash alone")
    await keeping.registry.manifests.delete(app.name, Digest.of(gone), actor=ALICE)
    await keeping.pusher("team/old").image("1", b"whole repository", b"of all")
    await keeping.registry.repositories.delete(keeping.pusher("team/old").name, actor=ALICE)
    await app.blob(b"nobody came back for this")


async def found(world: World) -> dict[tuple[str, int], dict[str, int]]:
    """Return what the analysis found, but for what is empty."""
    rows = await world.kit.metadata.all(RawQuery(_ALL_PARTS))
    return {(row[0], row[1]): dict(zip(analyses.SUMS, row[2:], strict=True)) for row in rows if row[2:] != _NOTHING}


async def test_it_finds_what_is_there(world: World) -> None:
    """Logical, stored, own, unique and trashed bytes and manifests of each project and repository, and over all."""
    await fill(world)
    totals = await Analyser(metadata=world.kit.metadata).run(Unwatched())
    assert await found(world) == await recount(world.kit.metadata)
    blobs, manifests = await world.stored()
    assert totals["waiting_bytes"] == len(b"nobody came back for this")
    assert totals["stored_bytes"] + totals["trash_bytes"] + totals["waiting_bytes"] == blobs + manifests
    last = await analyses.last_finished(world.kit.metadata)
    assert last is not None
    assert last.totals == totals


async def test_it_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off after every second step, it adds up the same, and nothing twice."""
    for name, value in {"_BLOBS": 2, "_MANIFESTS": 2, "_NOTE_SECONDS": -1.0}.items():
        monkeypatch.setattr(rules, name, value)
    await fill(world)
    stopped = 0
    while await analyses.last_finished(world.kit.metadata) is None:
        try:
            await Analyser(metadata=world.kit.metadata).run(StopsAfter(1))
        except Stopped:
            stopped += 1
    assert stopped > 3
    assert await found(world) == await recount(world.kit.metadata)


async def test_the_next_takes_the_place_of_the_last(world: World) -> None:
    """What an earlier analysis found is shown until a later one is finished, and is gone then."""
    await fill(world)
    for _ in range(2):
        await Analyser(metadata=world.kit.metadata).run(Unwatched())
    assert await world.kit.metadata.all(RawQuery("SELECT DISTINCT analysis_id FROM analysis_parts")) == [(2,)]
    assert await world.kit.metadata.all(RawQuery("SELECT id FROM analyses")) == [(2,)]


class Killed(Exception):
    """The process died."""


def dying(world: World, monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """Let the process die after so many transactions; return how many statements each of them had."""
    metadata, had = world.kit.metadata, list[int]()
    real = metadata.write

    async def write(work: Work[T], *, name: str = "") -> T:
        if len(had) == after:
            raise Killed
        before = metadata.statistics.statements
        try:
            return await real(work, name=name)
        finally:
            had.append(metadata.statistics.statements - before)

    monkeypatch.setattr(metadata, "write", write)
    return had


async def shown(world: World) -> dict[tuple[str, int], dict[str, int]]:
    """Return what people see: what the last finished analysis found."""
    last = await analyses.last_finished(world.kit.metadata)
    assert last is not None
    rows = await world.kit.metadata.all(RawQuery(f"{_ALL_PARTS} WHERE analysis_id = {last.id}"))
    return {(row[0], row[1]): dict(zip(analyses.SUMS, row[2:], strict=True)) for row in rows if row[2:] != _NOTHING}


async def test_a_killed_analysis_shows_the_old_or_the_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it dies: what was found before is seen until all is there, and the next run finds all of it once."""
    monkeypatch.setattr(write_batches, "ROWS", 2)
    for name, value in {"_BLOBS": 8, "_MANIFESTS": 8, "_NOTE_SECONDS": -1.0}.items():
        monkeypatch.setattr(rules, name, value)
    await fill(world)
    await Analyser(metadata=world.kit.metadata).run(Unwatched())
    old = await shown(world)
    await world.pusher("team/web").image("2", b"pushed since", b"of the team")
    new = await recount(world.kit.metadata)
    seen, after = [], 1
    while not seen or seen[-1] == old:
        with monkeypatch.context() as killing, suppress(Killed):
            dying(world, killing, after)
            await Analyser(metadata=world.kit.metadata).run(Unwatched())
        seen.append(await shown(world))
        after += 1
    assert after > 8
    assert seen[-1] == new != old
    await Analyser(metadata=world.kit.metadata).run(Unwatched())
    assert await found(world) == new


async def test_no_transaction_of_an_analysis_is_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes a few rows, however many there are to write, and so does each that forgets the analysis before."""
    monkeypatch.setattr(write_batches, "ROWS", 4)
    await fill(world)
    for _ in range(2):
        with monkeypatch.context() as counting:
            had = dying(world, counting, after=-1)
            await Analyser(metadata=world.kit.metadata).run(Unwatched())
        assert len(had) > 6
        assert max(had) <= 10
    assert await found(world) == await recount(world.kit.metadata)


async def test_the_largest_are_known(world: World) -> None:
    """Layers by their size and images by all they are made of, of all and of each project."""
    await fill(world)
    await Analyser(metadata=world.kit.metadata).run(Unwatched())
    project = await world.project("team")
    layers = await analyses.tops(world.kit.metadata, 1, analyses.LAYER, analyses.EVERYWHERE, limit=2)
    assert [size for _, size in layers] == [len(b"own layer of app"), len(b"of the team")]
    images = await analyses.tops(world.kit.metadata, 1, analyses.IMAGE, project.id, limit=100)
    assert len(images) == 4
    assert images == sorted(images, key=lambda entry: (-entry[1], entry[0]))


async def test_what_takes_too_long_is_asked_in_smaller_pieces(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers that very many images have make a page slow; the next is shorter, and nothing is missed."""
    real, asked = analyses.blobs_after, list[int]()

    async def slow(reader: Reader, last: int, *, limit: int) -> list[StoredBlob]:
        asked.append(limit)
        if limit > 2:
            raise TookTooLong
        return await real(reader, last, limit=limit)

    monkeypatch.setattr(analyses, "blobs_after", slow)
    await fill(world)
    await Analyser(metadata=world.kit.metadata).run(Unwatched())
    assert asked[:4] == [500, 62, 7, 1]
    assert await found(world) == await recount(world.kit.metadata)


async def test_pieces_come_to_the_same_as_all_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks at so many blobs and manifests, and the last one finishes the analysis."""
    monkeypatch.setattr(rules, "_BLOBS", 2)
    monkeypatch.setattr(rules, "_MANIFESTS", 2)
    await fill(world)
    analyser, pieces_made = Analyser(metadata=world.kit.metadata), 0
    while pieces_made == 0 or await analyser.is_begun():
        await analyser.run(Unwatched(), most=4)
        pieces_made += 1
    ((blobs, manifests),) = await world.kit.metadata.all(RawQuery(_COUNTS))
    assert pieces_made > (blobs + manifests) // 5
    assert await found(world) == await recount(world.kit.metadata)


async def test_what_cannot_have_changed_is_not_added_up_again(world: World) -> None:
    """A day after the last event the last analysis holds, and says so; before that it is made anew."""
    await fill(world)
    analyser = Analyser(metadata=world.kit.metadata)
    assert not await analyser.renew()
    await analyser.run(Unwatched())
    assert not await analyser.renew()
    aged = RawQuery("UPDATE events SET at = at - 90000000000")
    await world.kit.metadata.write(lambda tx: tx.execute(aged))
    before = await analyses.last_finished(world.kit.metadata)
    assert await analyser.renew()
    after = await analyses.last_finished(world.kit.metadata)
    assert before is not None
    assert after is not None
    assert (after.id, after.totals) == (before.id, before.totals)
    assert (after.finished_at or 0) > (before.finished_at or 0)


_COUNTS = "SELECT (SELECT count(*) FROM blobs), (SELECT count(*) FROM manifests)"
