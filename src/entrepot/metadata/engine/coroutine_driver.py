"""Runs a transaction's coroutine to its end in the writer thread, without an event loop.

The methods of a SQLite transaction never suspend, so the coroutine ends in its first step. If it does not, it
awaited something else while it held the only write lock of the database, and that is an error, always: no blob,
network or timer may be waited for inside a transaction.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar, cast

from entrepot.metadata.errors import AwaitInsideTransaction

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that must not suspend and return its result.

    Raises:
        AwaitInsideTransaction: It suspended. The traceback ends at the await.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    try:
        coroutine.throw(AwaitInsideTransaction())
    except StopIteration:
        pass
    finally:
        coroutine.close()
    raise AwaitInsideTransaction


def forbid_event_loop() -> None:
    """Make every use of asyncio in this thread raise AwaitInsideTransaction, also what asks for the loop first."""
    asyncio._set_running_loop(cast("asyncio.AbstractEventLoop", _ForbiddenLoop()))  # noqa: SLF001 - made for event loops, and this stands in for one


class _ForbiddenLoop:
    def __getattr__(self, name: str) -> NoReturn:
        raise AwaitInsideTransaction
