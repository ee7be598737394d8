"""Runs several actors in every order of their steps, one step at a time.

An actor is a coroutine that calls `step` before each thing that others may notice. Between two of its steps nobody else
moves. `orders` tries one order after another, depth first, until all have been tried; `sample` tries some at random.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random

_actor: ContextVar[str] = ContextVar("actor")
_order: ContextVar[Order] = ContextVar("order")

Actor = Callable[[], Awaitable[None]]


@dataclass
class Order:
    """One order: which of those who could move did, at each point where several could."""

    choose: Callable[[int], int]
    taken: list[str] = field(default_factory=list)
    _waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    _blocked: dict[str, str] = field(default_factory=dict)
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @staticmethod
    def mine() -> Order:
        """Return the order that whoever asks is an actor of."""
        return _order.get()

    async def step(self, what: str = "") -> None:
        """Wait for the turn to do the next thing; whoever is no actor of ours goes on at once."""
        name = _actor.get(None)
        if name is None:
            return
        turn = self._waiting[name] = asyncio.get_running_loop().create_future()
        self._stopped.set()
        await turn
        self.taken.append(f"{name} {what}".strip())
        self._blocked = {other: wanted for other, wanted in self._blocked.items() if wanted != what}

    async def until(self, what: str) -> None:
        """Wait until somebody has done something: for an actor that looks for it again and again."""
        self._blocked[_actor.get()] = what
        await self.step("looks again")

    async def run(self, actors: Mapping[str, Actor], watch: Actor) -> None:
        """Let all actors come to their end; `watch` looks at what there is after each step.

        Raises:
            ExceptionGroup: With what actors raised.
        """
        async with asyncio.TaskGroup() as group:
            running = {name: group.create_task(self._act(name, actor)) for name, actor in actors.items()}
            for name, task in running.items():
                await self._until_it_stops(name, task)
            while alive := sorted(name for name in self._waiting if not running[name].done()):
                movable = [name for name in alive if name not in self._blocked]
                assert movable, f"everybody waits: {self.taken}"
                name = movable[self.choose(len(movable))]
                self._waiting.pop(name).set_result(None)
                await self._until_it_stops(name, running[name])
                await watch()

    async def _until_it_stops(self, name: str, task: asyncio.Task[None]) -> None:
        while not task.done() and name not in self._waiting:
            await self._stopped.wait()
            self._stopped.clear()

    async def _act(self, name: str, actor: Actor) -> None:
        _actor.set(name)
        _order.set(self)
        try:
            await actor()
        finally:
            self._stopped.set()


def orders() -> Iterator[Order]:
    """Give one order after another until all have been tried; each must be run before the next is asked for."""
    trail: list[list[int]] = []  # at each point, the choice and the number of choices

    while True:
        depth = -1

        def choose(count: int) -> int:
            nonlocal depth
            depth += 1
            if depth == len(trail):
                trail.append([0, count])
            assert trail[depth][1] == count, "the same choices led elsewhere"
            return trail[depth][0]

        yield Order(choose)
        while trail and trail[-1][0] + 1 == trail[-1][1]:
            trail.pop()
        if not trail:
            return
        trail[-1][0] += 1


def sample(seed: int, count: int) -> Iterator[Order]:
    """Give so many orders, at random."""
    random = Random(seed)
    return (Order(random.randrange) for _ in range(count))
