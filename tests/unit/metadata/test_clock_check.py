"""Whether the wall clock is believed: a table of what can happen to a machine, and the watch that keeps the note."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from entrepot.metadata import clock_check, settings
from entrepot.metadata.clock_check import ClockWatch, Moment, Note, judge, successor
from entrepot.metadata.errors import DatabaseFull
from entrepot.metadata.events import Source
from entrepot.metadata.opening import Stores, open_embedded

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
#: Some moment of the first boot, and the note that was made then.
START = Moment(boot="first", boottime=5_000.0, wall=1_800_000_000 * SECOND)
NOTE = Note(boot=START.boot, boottime=START.boottime, wall=START.wall)


def later(seconds: float, *, step: int = 0, of: Moment = START) -> Moment:
    """Let time pass, and somebody set the wall clock by `step`."""
    return replace(of, boottime=of.boottime + seconds, wall=of.wall + int(seconds * SECOND) + step)


def rebooted(seconds: float, *, step: int = 0) -> Moment:
    """Let the machine be off meanwhile, so that CLOCK_BOOTTIME begins anew."""
    return Moment(boot="second", boottime=20.0, wall=START.wall + int(seconds * SECOND) + step)


@pytest.mark.parametrize(
    ("moment", "ahead"),
    [
        pytest.param(later(1), 0, id="a second"),
        pytest.param(later(100 * 86400), 0, id="stopped or asleep for a hundred days"),
        pytest.param(later(10, step=50 * SECOND), 0, id="a small correction"),
        pytest.param(later(30 * 86400, step=-2000 * SECOND), 0, id="a clock that was slowed down for a month"),
        pytest.param(later(1, step=10 * DAY), 10 * DAY, id="ten days ahead"),
        pytest.param(later(86400, step=-2 * HOUR), -2 * HOUR, id="two hours back"),
        pytest.param(rebooted(5), 0, id="started again"),
        pytest.param(rebooted(300 * 86400), 0, id="off for three hundred days"),
        pytest.param(rebooted(10, step=-40 * DAY), 10 * SECOND - 40 * DAY, id="a dead battery"),
    ],
)
def test_the_clock_is_held_against_the_note(moment: Moment, ahead: int) -> None:
    """A stop, a sleep, an outage and a small correction are no jump; a step is one, by how much it was."""
    assert judge(NOTE, moment).ahead == ahead


def test_without_a_note_the_last_time_in_the_database_counts() -> None:
    """A clock before the latest event is wrong; one after it is believed."""
    assert judge(None, START, last_event=START.wall + DAY).ahead == -DAY
    assert judge(None, START, last_event=START.wall - 400 * DAY).reason is None


def test_a_jump_is_not_forgotten_by_starting_the_machine_again() -> None:
    """A clock that was ahead before is believed after another boot only when it was set back."""
    jumped = later(10, step=10 * DAY)
    note = successor(NOTE, jumped, judge(NOTE, jumped))
    assert judge(note, rebooted(100, step=10 * DAY)).ahead > 0
    assert judge(note, rebooted(100)).ahead == 0


def test_after_a_long_outage_the_clock_may_be_corrected_first() -> None:
    """For ten minutes nothing is removed, and a correction meanwhile is no jump; then the clock is believed."""
    on = rebooted(50 * 86400)
    note = successor(NOTE, on, judge(NOTE, on))
    assert judge(note, later(60, of=on)).reason is not None
    corrected = later(90, of=on, step=-49 * DAY)
    assert judge(note, corrected).ahead == 0
    note = successor(note, corrected, judge(note, corrected))
    assert judge(note, later(700, of=corrected)).reason is None
    assert judge(note, later(700, of=corrected, step=DAY)).ahead == DAY


def test_after_a_long_outage_who_looks_first_removes_nothing() -> None:
    """A command that nobody noted the new boot before waits as a server does; after a short outage it need not."""
    assert judge(NOTE, rebooted(10, step=3650 * DAY)).reason is not None
    assert judge(NOTE, rebooted(600)).reason is None


def test_a_clock_that_nobody_saw_corrected_after_an_outage_is_believed() -> None:
    """Commands alone look seldom: what was noted while it could be corrected is no evidence that it was right."""
    on = rebooted(86400, step=3650 * DAY)
    note = successor(NOTE, on, judge(NOTE, on))
    assert judge(note, later(86400, of=on, step=-3650 * DAY)).reason is None
    assert judge(note, later(86400, of=on, step=-3653 * DAY)).ahead < 0
    assert judge(note, later(86400, of=on, step=DAY)).ahead == DAY


def test_starting_again_does_not_end_the_wait_after_an_outage() -> None:
    """A clock that could still be corrected is held against what was known before the outage."""
    on = rebooted(50 * 86400)
    note = successor(NOTE, on, judge(NOTE, on))
    again = replace(on, boot="third", wall=on.wall + 60 * SECOND)
    assert judge(note, again).settling > 0
    assert judge(note, replace(again, wall=again.wall - 49 * DAY)).ahead == 0
    assert judge(note, replace(again, wall=START.wall - DAY)).ahead < 0


@dataclass
class Clocks:
    """Clocks that a test moves, and how often what waits was pulled back."""

    moment: Moment = START
    pulled_back: int = 0

    def now(self) -> Moment:
        """Tell the time."""
        return self.moment

    async def set_back(self) -> None:
        """Count."""
        self.pulled_back += 1


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """A database."""
    opened = await open_embedded(tmp_path / "entrepot")
    yield opened
    await opened.close()


async def reason(stores: Stores, clocks: Clocks) -> str | None:
    """Say why nothing is removed."""
    return (await clock_check.look(stores.metadata, clocks.now))[2].reason


async def test_doubt_ends_when_the_clock_agrees_again(stores: Stores) -> None:
    """A jump is told at once and once; set back, the clock is believed, and what waits too long is pulled back."""
    clocks = Clocks()
    watch = ClockWatch(stores.metadata, set_back=clocks.set_back, now=clocks.now)
    await watch.look()
    assert await reason(stores, clocks) is None
    clocks.moment = later(5, step=10 * DAY)
    assert "10 days ahead" in (await reason(stores, clocks) or "")
    await watch.look()
    await watch.look()
    assert await settings.find(stores.metadata, "clock.told") is not None
    clocks.moment = later(10)
    await watch.look()
    assert await reason(stores, clocks) is None
    assert await settings.find(stores.metadata, "clock.told") is None
    assert clocks.pulled_back == 2  # at the start, and when the clock was set back


async def test_doubt_ends_when_somebody_accepts_the_clock(stores: Stores) -> None:
    """One word, and the clock is what it is; a later jump is one again."""
    clocks = Clocks()
    watch = ClockWatch(stores.metadata, set_back=clocks.set_back, now=clocks.now)
    await watch.look()
    clocks.moment = later(5, step=10 * DAY)
    await watch.look()
    verdict = await clock_check.accept(stores.metadata, by=Source(name="root"), now=clocks.now)
    assert verdict.ahead == 10 * DAY
    await watch.look()
    assert await reason(stores, clocks) is None
    clocks.moment = later(10, step=30 * DAY)
    assert "20 days ahead" in (await reason(stores, clocks) or "")


async def test_commands_alone_wait_and_then_go_on(stores: Stores) -> None:
    """Where no server runs, the first command after an outage begins the ten minutes, and one after them removes."""
    clocks = Clocks()
    await clock_check.look_once(stores.metadata, clocks.now)
    clocks.moment = rebooted(30 * 86400)
    await clock_check.look_once(stores.metadata, clocks.now)
    assert await reason(stores, clocks) is not None
    clocks.moment = later(700, of=clocks.moment)
    await clock_check.look_once(stores.metadata, clocks.now)
    assert await reason(stores, clocks) is None


async def test_a_database_that_takes_no_note_keeps_no_worker_from_starting(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk, say; the next look tries again."""

    async def refuse() -> None:
        raise DatabaseFull("full")

    clocks = Clocks()
    await ClockWatch(stores.metadata, set_back=refuse, now=clocks.now).look_quietly()
    assert "the clock cannot be looked after" in caplog.text
    await ClockWatch(stores.metadata, set_back=clocks.set_back, now=clocks.now).look_quietly()
    assert clocks.pulled_back == 1
