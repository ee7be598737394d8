"""Who is hashed next, and who is sent away, when more passwords come than can be hashed."""

from __future__ import annotations

import asyncio

import pytest

from entrepot.access.passwords.hash_queue import HashQueue
from entrepot.access.passwords.throttle import Known
from entrepot.oci.errors import TooManyRequests


class Case:
    """A queue whose turn is taken, and the names of those who came in afterwards, in their order."""

    def __init__(self, queue: HashQueue) -> None:
        self.queue = queue
        self.came_in: list[str] = []
        self.go = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def arrive(self, name: str, client: str, known: Known = Known.NEW) -> None:
        """Let somebody wait."""
        self.tasks[name] = asyncio.create_task(self._take(name, client, known))
        await asyncio.sleep(0)

    async def _take(self, name: str, client: str, known: Known) -> None:
        async with self.queue.turn(client, known):
            self.came_in.append(name)
            await self.go.wait()

    async def run(self) -> dict[str, bool]:
        """Let all of them in; say who was."""
        self.go.set()
        outcomes = await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert all(outcome is None or isinstance(outcome, TooManyRequests) for outcome in outcomes)
        return {name: outcome is None for name, outcome in zip(self.tasks, outcomes, strict=True)}


async def test_networks_take_turns() -> None:
    """Whoever sends one password waits for no more than one of each other network; a /48 of IPv6 is one."""
    case = Case(HashQueue())
    for name in ("a1", "a2", "a3"):
        await case.arrive(name, "192.0.2.1")
    await case.arrive("b1", "2001:db8:0:1::1")
    await case.arrive("b2", "2001:db8:0:2::1")
    await case.arrive("c1", "198.51.100.1")
    await case.run()
    assert case.came_in == ["a1", "a2", "b1", "c1", "a3", "b2"]


async def test_who_is_known_comes_first() -> None:
    """First known accounts, then networks nobody failed from, then the others."""
    case = Case(HashQueue())
    await case.arrive("running", "192.0.2.1", Known.FAILED)
    for known in reversed(Known):
        await case.arrive(known.name, f"198.51.{known}.1", known)
    await case.run()
    assert case.came_in == ["running", "HERE", "NEW", "FAILED"]


async def test_a_full_queue_sends_the_greediest_away() -> None:
    """Not the newcomer, unless nobody has more waiting or is known less."""
    case = Case(HashQueue(most=3))
    await case.arrive("running", "192.0.2.1")
    for name in ("a1", "a2", "a3"):
        await case.arrive(name, "192.0.2.1")
    await case.arrive("b1", "198.51.100.1")
    await case.arrive("c1", "203.0.113.1")
    await case.arrive("d1", "203.0.114.1")
    await case.arrive("known", "203.0.115.1", Known.HERE)
    await case.arrive("failed", "203.0.116.1", Known.FAILED)
    came_in = await case.run()
    assert [name for name, let_in in came_in.items() if not let_in] == ["a1", "a2", "a3", "d1", "failed"]


async def test_nobody_waits_for_ever_and_who_leaves_takes_no_turn() -> None:
    """After some seconds one is told to come back; the turn goes on past who was cancelled."""
    case = Case(HashQueue(seconds=0.05))
    await case.arrive("running", "192.0.2.1")
    await case.arrive("late", "198.51.100.1")
    with pytest.raises(TooManyRequests):
        await case.tasks.pop("late")
    await case.arrive("gone", "198.51.100.1")
    case.tasks.pop("gone").cancel()
    await case.arrive("last", "198.51.100.2")
    await case.run()
    assert case.came_in == ["running", "last"]
    await case.arrive("afterwards", "198.51.100.1")
    assert "afterwards" in case.came_in
