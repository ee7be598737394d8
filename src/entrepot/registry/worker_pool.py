"""Several workers on one stream of things: each takes the next when it is done with its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def together(items: AsyncIterator[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do `work` with every item, with up to `at_once` of them at a time.

    When one fails, the others are cancelled and its error is raised.
    """
    turn = asyncio.Lock()

    async def worker() -> None:
        while True:
            async with turn:
                item = await anext(items, None)
            if item is None:
                return
            await work(item)

    workers = [asyncio.ensure_future(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
