"""The client: redirects, deadlines, and what goes along with them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from entrepot.outbound.errors import AnswerInvalid, TargetRefused, TimedOut
from entrepot.outbound.guard import Resolve, look_up, plan
from entrepot.outbound.response import Response
from entrepot.outbound.settings import OutboundSettings
from entrepot.outbound.urls import Url

if TYPE_CHECKING:
    from entrepot.outbound.transport import Exchange

LIMIT = 64 * 1024
SECONDS = 10.0
MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Only what asks and changes nothing is asked again elsewhere; a POST gets the redirect itself as its answer.
_FOLLOWED = frozenset({"GET", "HEAD"})
#: All else may be a credential, and stays with the origin that it was meant for.
_ANYBODYS = frozenset({"accept", "accept-language", "user-agent"})


class Requester(Protocol):
    """Asks somebody else, as `Client` does."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = LIMIT,
        timeout: float = SECONDS,  # noqa: ASYNC109 - it is one deadline for several exchanges
    ) -> Response:
        """See `Client.request`."""
        ...


class Client:
    """Asks others on the registry's behalf. It holds no connections, and may be used by any task of its loop."""

    def __init__(self, settings: OutboundSettings, resolve: Resolve = look_up) -> None:
        self._settings = settings
        self._resolve = resolve
        self._trust: ssl.SSLContext | None = None

    @property
    def settings(self) -> OutboundSettings:
        """The rules that it keeps."""
        return self._settings

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = LIMIT,
        timeout: float = SECONDS,  # noqa: ASYNC109 - it is one deadline for several exchanges
    ) -> Response:
        """Send a request and return the whole answer.

        Redirects of GET and HEAD are followed, each checked like the first address; to another origin, nothing that
        could be a credential goes along.

        Args:
            method: GET, POST, ...
            url: The whole address.
            headers: More header fields.
            body: The body to send.
            limit: The most bytes of an answer's body.
            timeout: Seconds for everything together.

        Raises:
            TargetRefused: The address, or one it leads to, may not be asked.
            Unreachable: No connection, or no certificate to believe.
            TimedOut: No whole answer in time.
            AnswerInvalid: The answer is too long or leads on too often.
        """
        from entrepot.outbound.transport import Exchange  # noqa: PLC0415 - heavy, and many never ask anybody

        wanted = Exchange(method=method.upper(), headers=_lowered(headers), body=body, limit=limit)
        target = Url.parse(url)
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(target, wanted)
        except TimeoutError:
            raise TimedOut(f"{target.origin} gave no whole answer within {timeout:g} s") from None

    async def download(
        self, url: str, into: Callable[[bytes], None], *, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a GET, and hand the body of a 200 on as it comes; it may be of any length.

        Raises:
            TargetRefused: As `request`.
            Unreachable: As `request`, and when nothing comes for a minute.
            AnswerInvalid: A refusal that is too long, or one that leads on too often.
        """
        from entrepot.outbound.transport import Exchange  # noqa: PLC0415 - see above

        wanted = Exchange(method="GET", headers=_lowered(headers), body=None, limit=LIMIT, into=into)
        return await self._follow(Url.parse(url), wanted)

    async def _follow(self, target: Url, wanted: Exchange) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._ask(target, wanted)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or wanted.method not in _FOLLOWED or location is None:
                return answer
            onwards = target.follow(location)
            wanted = _for_next(target, onwards, wanted)
            target = onwards
        raise AnswerInvalid(f"{target.origin} leads on more than {MAX_REDIRECTS} times")

    async def _ask(self, target: Url, wanted: Exchange) -> Response:
        from entrepot.outbound.transport import exchange, trust_store  # noqa: PLC0415 - see above

        route = await plan(target, self._settings, self._resolve)
        if self._trust is None:
            self._trust = await asyncio.to_thread(trust_store, self._settings)
        return await exchange(route, wanted, self._trust)


def _for_next(before: Url, after: Url, wanted: Exchange) -> Exchange:
    if before.scheme == "https" and after.scheme != "https":
        raise TargetRefused(f"{before.origin} leads from https to plain http; it must lead to https")
    if before.origin == after.origin:
        return wanted
    return replace(wanted, headers={name: text for name, text in wanted.headers.items() if name in _ANYBODYS})


def _lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): text for name, text in (headers or {}).items()}
