"""Places for uploads are given out by all workers together, alike on SQLite and PostgreSQL."""

from __future__ import annotations

import pytest

from entrepot.access.limits.upload_slots import COUNTS_FOR, Place, PlaceKind, Places, PlacesTaken
from entrepot.metadata.database import Database
from entrepot.metadata.work_tables import work_metadata
from tests.support.databases import create_all

ALICE, TEAM = (PlaceKind.UPLOADS, "user:alice"), (PlaceKind.PROJECT_UPLOADS, "team")


class Workers:
    """Two workers, and the time, which a test moves."""

    def __init__(self, work: Database, **limits: int) -> None:
        self.now = 1_700_000_000.0
        self.one, self.other = (Places(limits, work, now=lambda: self.now) for _ in range(2))


@pytest.fixture
async def work(database: Database) -> Database:
    """Give an empty database with its tables."""
    await create_all(database, work_metadata)
    return database


def place(upload: str, *keys: tuple[PlaceKind, str]) -> Place:
    """Name the place of an upload."""
    return Place.of(keys or (ALICE,), (upload,))


async def is_full(places: Places, upload: str, *keys: tuple[PlaceKind, str]) -> bool:
    """Tell whether an upload is refused."""
    try:
        await places.take(place(upload, *keys))
    except PlacesTaken:
        return True
    return False


async def test_workers_give_them_out_together(work: Database) -> None:
    """What one has given out is gone at the others at once, and what is given back anywhere is there again."""
    workers = Workers(work, uploads=2)
    assert [await is_full(each, name) for each, name in ((workers.one, "a"), (workers.other, "b"))] == [False, False]
    assert [await is_full(each, "c") for each in (workers.one, workers.other)] == [True, True]
    workers.one.pause(place("a"))
    await workers.other.leave(place("a"))
    assert not await is_full(workers.other, "c")


async def test_an_upload_has_one_place_wherever_its_requests_go(work: Database) -> None:
    """From one worker to the other and back, and with two requests at once."""
    workers = Workers(work, uploads=1)
    for places in (workers.one, workers.other, workers.one):
        (standing,) = await places.take(place("a"))
        assert (standing.limit, standing.remaining, standing.exceeded) == (1, 0, False)
    assert await is_full(workers.other, "b")


async def test_a_worker_that_dies_holds_none_for_long(work: Database) -> None:
    """A place counts for six seconds after somebody last said that its upload goes on."""
    workers = Workers(work, uploads=1)
    await workers.one.take(place("a"))
    for _ in range(5):
        workers.now += COUNTS_FOR - 1
        await workers.one.say()
        assert await is_full(workers.other, "b")
    workers.now += COUNTS_FOR
    assert not await is_full(workers.other, "b")


async def test_a_place_of_a_clock_that_was_ahead_holds_nobody_up(work: Database) -> None:
    """When the clock is set back, what was given out before counts no more."""
    workers = Workers(work, uploads=1)
    await workers.one.take(place("a"))
    workers.now -= 864_000
    assert not await is_full(workers.other, "b")


async def test_a_client_that_is_silent_holds_none_for_long(work: Database) -> None:
    """Between two requests nobody says that an upload goes on; when it does, it takes a place anew."""
    workers = Workers(work, uploads=1)
    await workers.one.take(place("a"))
    workers.one.pause(place("a"))
    await workers.one.say()
    assert await is_full(workers.other, "b")
    workers.now += COUNTS_FOR
    await workers.one.say()
    assert not await is_full(workers.other, "b")
    assert await is_full(workers.one, "a")


async def test_of_two_requests_the_first_to_end_takes_no_place_away(work: Database) -> None:
    """The place is given up with the last of them."""
    workers = Workers(work, uploads=1)
    await workers.one.take(place("a"))
    await workers.one.take(place("a"))
    workers.one.pause(place("a"))
    await workers.one.leave(place("a"))
    assert await is_full(workers.other, "b")
    workers.one.pause(place("a"))
    await workers.one.leave(place("a"))
    assert not await is_full(workers.other, "b")


async def test_what_is_refused_by_one_limit_counts_for_none(work: Database) -> None:
    """An account that has its places taken uses up none of the project's."""
    workers = Workers(work, uploads=1, projectuploads=2)
    assert not await is_full(workers.one, "a", ALICE, TEAM)
    assert [await is_full(workers.one, "b", TEAM, ALICE) for _ in range(3)] == [True] * 3
    assert not await is_full(workers.one, "c", TEAM)
    assert await is_full(workers.one, "d", TEAM)


async def test_names_do_not_meet(work: Database) -> None:
    """However they are spelled: no account's name is the beginning of another's, nor an account a project."""
    workers = Workers(work, uploads=1, projectuploads=1)
    for name in ("a", "a/b", "a/", "b", "user:a", "%", "\N{LATIN SMALL LETTER E WITH ACUTE}\0", ""):
        for kind in PlaceKind:
            assert not await is_full(workers.one, "upload", (kind, name)), (kind, name)
    assert await is_full(workers.one, "other", (PlaceKind.UPLOADS, "a/b"))


async def test_without_the_database_a_place_lapses(work: Database, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be written down when an upload is over breaks no answer."""
    workers = Workers(work, uploads=1)
    await workers.one.take(place("a"))
    await work.close()
    await workers.one.say()
    workers.one.pause(place("a"))
    await workers.one.leave(place("a"))
    assert "could not be noted" in caplog.text
