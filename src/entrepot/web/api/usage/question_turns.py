"""Questions about space, each in its turn: the answer is given up when whoever asked has left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from entrepot.insight.query_limits import Turns
from entrepot.web.api.caller import CallerOf, ServicesOf, own_request
from entrepot.web.http import Request as OwnRequest
from entrepot.web.responses import until_gone

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """A question of somebody."""

    turns: Turns
    request: OwnRequest
    who: str

    async def answer(self, work: Callable[[], Awaitable[T]]) -> T:
        """Work out the answer.

        Raises:
            ClientGone: Whoever asked has left.
            And what `Turns.turn` raises.
        """
        return await until_gone(self.request, self._in_turn(work))

    async def _in_turn(self, work: Callable[[], Awaitable[T]]) -> T:
        async with self.turns.turn(self.who):
            return await work()


def question_of(request: Request, caller: CallerOf, services: ServicesOf) -> Question:
    """Return the question that a request is: those without an account are told apart by their addresses."""
    own, principal = own_request(request), caller.principal
    who = f"{principal.label}@{own.client}" if principal.is_anonymous else principal.label
    return Question(services.insight.turns, own, who)


QuestionOf = Annotated[Question, Depends(question_of)]
