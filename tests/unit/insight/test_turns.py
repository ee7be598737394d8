"""Questions about space have their turn: nobody keeps the others from it, and none takes for ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from entrepot.insight import query_limits as rules
from entrepot.insight.query_limits import Turns
from entrepot.metadata.errors import TookTooLong
from entrepot.oci.errors import TooManyRequests, Unavailable
from entrepot.web.api.usage.question_turns import Question
from entrepot.web.body import ClientGone, Message
from entrepot.web.http import Request


class Answering:
    """Work on questions that goes on until the test says so."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.asked: list[str] = []
        self.enough = asyncio.Event()

    async def ask(self, who: str) -> None:
        """Ask a question of somebody."""
        async with self.turns.turn(who):
            self.asked.append(who)
            await self.enough.wait()


async def began(*questions: asyncio.Task[None]) -> None:
    """Let tasks go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(question.done() for question in questions)


async def test_one_person_has_one_turn_at_a_time() -> None:
    """The questions of one wait for each other, and another's is answered beside them."""
    work = Answering(Turns())
    tasks = [asyncio.create_task(work.ask(who)) for who in ("alice", "alice", "alice", "bob")]
    await began(*tasks)
    assert work.asked == ["alice", "bob"]
    work.enough.set()
    await asyncio.gather(*tasks)
    assert work.asked == ["alice", "bob", "alice", "alice"]


async def test_who_asks_again_and_again_is_refused() -> None:
    """Beyond a few open questions; once they are answered, the next is taken."""
    work = Answering(Turns())
    tasks = [asyncio.create_task(work.ask("alice")) for _ in range(rules.OF_ONE)]
    await began(*tasks)
    with pytest.raises(TooManyRequests, match="4 questions of yours about space are not answered yet") as refused:
        await work.ask("alice")
    assert refused.value.retry_after > 0
    work.enough.set()
    await asyncio.gather(*tasks)
    await work.ask("alice")


async def test_a_question_as_a_whole_takes_only_so_long() -> None:
    """It is broken off with what to do, and the turn is free again."""
    work = Answering(Turns(seconds=0.05))
    with pytest.raises(TookTooLong, match=r"more than 0\.05 s; ask about less at a time"):
        await work.ask("alice")
    work.enough.set()
    await work.ask("alice")


async def test_a_question_waits_only_so_long_for_others() -> None:
    """Where others take all turns, whoever comes next is told to come back; those who wait give nothing away."""
    work = Answering(Turns(wait_seconds=0.05))
    others = [asyncio.create_task(work.ask(f"other {number}")) for number in range(rules.AT_ONCE)]
    await began(*others)
    with pytest.raises(Unavailable, match="other questions about space"):
        await work.ask("alice")
    work.enough.set()
    await asyncio.gather(*others)
    await work.ask("alice")


async def test_a_question_ends_when_the_client_leaves() -> None:
    """Nobody works on for whoever is gone, whether the question has its turn or waits for it."""
    turns, gone = Turns(), asyncio.Event()
    work = Answering(turns)

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    request = Request({"method": "GET", "raw_path": b"/", "headers": [], "query_string": b""}, receive)
    has_turn, waits = (
        asyncio.create_task(Question(turns, request, "alice").answer(lambda: work.ask("inner"))) for _ in range(2)
    )
    await began(has_turn, waits)
    gone.set()
    for question in (has_turn, waits):
        with pytest.raises(ClientGone):
            await question
    work.enough.set()
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await work.ask("alice")
    assert work.asked == ["inner", "alice"]
