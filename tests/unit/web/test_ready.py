"""`/readyz`, which anybody may ask: what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.web.health import Together


async def test_all_who_ask_at_once_cost_one_question() -> None:
    """A hundred who ask take one connection to the database; the next one is told what is so then."""
    asked = 0

    async def question() -> Mapping[str, str]:
        nonlocal asked
        asked += 1
        number = asked
        await asyncio.sleep(0.01)
        return {"asked": str(number)}

    together = Together(question)
    assert await asyncio.gather(*(together() for _ in range(100))) == [{"asked": "1"}] * 100
    assert await together() == {"asked": "2"}


async def test_a_question_without_an_answer_holds_up_nobody_who_asks_later() -> None:
    """Whoever gives up on it leaves it to end by itself; a failure is told to all who waited for it."""
    stands_still = asyncio.Event()
    outcomes = [stands_still.wait(), asyncio.sleep(0)]

    async def question() -> Mapping[str, str]:
        await outcomes.pop(0)
        raise DatabaseUnavailable("away")

    together = Together(question)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(together(), 0.01)
    found = await asyncio.gather(together(), together(), return_exceptions=True)
    assert [str(error) for error in found] == ["away", "away"]
    stands_still.set()
