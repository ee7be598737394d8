"""Who waits for a store that says nothing, and who waits for one that is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from entrepot.adapters.blobs.objects.calls import Calls
from entrepot.adapters.blobs.objects.cloud import CloudBusy, NoObject
from entrepot.adapters.blobs.objects.pulse import Pulse
from entrepot.oci.errors import Unavailable


def calls_of(ask: Callable[[], Awaitable[object]]) -> Calls:
    """Make calls that lose patience a hundred times as soon."""
    pulse = Pulse(silence=0.05, answer=0.1, again=0.02)
    pulse.ask = ask
    return Calls(patience=3.0, pause=0.001, pulse=pulse)


class Store:
    """A store that can be stopped."""

    def __init__(self) -> None:
        self.goes = asyncio.Event()
        self.asked = 0

    async def answer(self) -> str:
        """Answer when it goes."""
        self.asked += 1
        await self.goes.wait()
        return "answer"


async def test_nobody_waits_long_for_a_silent_store_and_all_come_back_with_it() -> None:
    """All who wait are told together, whoever comes then at once; the first answer lets all in again."""
    store = Store()
    calls = calls_of(store.answer)
    begun = time.monotonic()
    ended = await asyncio.gather(*(calls.make("put", store.answer) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(error, Unavailable) and error.retry_after for error in ended)
    assert time.monotonic() - begun < 2.0
    asked = store.asked
    with pytest.raises(Unavailable):
        await calls.make("put", store.answer)
    assert store.asked <= asked + 1, "only the question is asked meanwhile"
    assert calls.is_failing()
    store.goes.set()
    async with asyncio.timeout(2):
        while calls.pulse.is_silent:
            await asyncio.sleep(0.01)
    assert await calls.make("put", store.answer) == "answer"
    assert not calls.is_failing()
    await calls.pulse.close()


@pytest.mark.parametrize("error", [None, NoObject("there is none")], ids=["something", "that there is nothing"])
async def test_a_slow_store_is_waited_for(error: Exception | None) -> None:
    """Where the small question is answered, a call that takes long goes on to its own end."""

    async def ask() -> None:
        if error is not None:
            raise error

    async def slow() -> str:
        await asyncio.sleep(0.8)
        return "late"

    calls = calls_of(ask)
    assert await calls.make("complete", slow) == "late"
    await calls.pulse.close()


async def test_other_answers_are_signs_of_life() -> None:
    """While others get their answers nobody is sent away, though the question gets none."""
    store = Store()
    calls = calls_of(store.answer)

    async def slow() -> str:
        await asyncio.sleep(0.8)
        return "late"

    async def quick() -> str:
        await asyncio.sleep(0.02)
        return "soon"

    waiting = asyncio.ensure_future(calls.make("put part", slow))
    while not waiting.done():
        assert await calls.make("put", quick) == "soon"
    assert await waiting == "late"
    await calls.pulse.close()


async def test_a_refused_connection_is_no_silence() -> None:
    """Calls that fail are repeated as ever: it is they who say how the store does."""
    tries = 0

    async def ask() -> None:
        raise CloudBusy("refused")

    async def restarted() -> str:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.2)
        if tries < 3:
            raise CloudBusy("refused")
        return "here"

    calls = calls_of(ask)
    assert await calls.make("put", restarted) == "here"
    await calls.pulse.close()
