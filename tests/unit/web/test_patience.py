"""Waiting for a client only so long."""

import asyncio

import pytest

from entrepot.web.client_timeouts import Patience


async def never() -> None:
    """Wait for nothing."""
    await asyncio.Event().wait()


async def test_each_wait_has_its_own_time() -> None:
    """Many waits, together longer than one may take, do not tire; one that is too long does, and so does the next."""
    patience = Patience(0.1)
    for _ in range(10):
        await patience.wait(asyncio.sleep(0.02))
    for _ in range(2):
        begun = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await patience.wait(never())
        assert 0.09 < asyncio.get_running_loop().time() - begun < 5


async def test_time_between_waits_does_not_count() -> None:
    """Whoever is not waited for may take as long as they like, also across the timer."""
    patience = Patience(0.05)
    await patience.wait(asyncio.sleep(0))
    await asyncio.sleep(0.2)
    assert await patience.wait(asyncio.sleep(0, "here")) == "here"


async def test_a_cancellation_by_others_stays_one() -> None:
    """Cancelled while it waits, the task ends as cancelled, and not as tired."""
    waiting = asyncio.create_task(Patience(10).wait(never()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_errors_of_what_is_waited_for_come_through() -> None:
    """What fails in time fails as it does."""

    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await Patience(1).wait(fail())


async def test_no_timer_is_left_after_the_end() -> None:
    """Stopped, it leaves nothing behind in the loop."""
    patience = Patience(60)
    await patience.wait(asyncio.sleep(0))
    timer = patience._timer
    assert timer is not None
    patience.stop()
    assert timer.cancelled()
