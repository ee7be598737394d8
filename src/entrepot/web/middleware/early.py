"""Answers that are ready before the request's body has arrived: refusals, mostly.

Two things go wrong when the rest of the body is left alone. The connection cannot carry the next request, and a client
that was not told so sends one into the void ("EOF"). And a connection that is closed with bytes unread is reset, which
can take the answer away from a client that is still writing. So a short rest is read before the answer goes out; for a
longer one the answer says that the connection closes, and the rest is dropped for a while before it does.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from entrepot.oci.errors import RegistryError
from entrepot.web.body import ClientGone, RequestBody
from entrepot.web.http import Header, Request
from entrepot.web.responses import BytesResponse, Send

#: A manifest of the largest size fits; a client that streams a layer is told to stop.
_SHORT = 4 << 20
_SHORT_SECONDS = 1.0
_LINGER = 32 << 20
_LINGER_SECONDS = 0.5
_CLOSE: Header = (b"connection", b"close")


async def send_early(answer: BytesResponse, request: Request, send: Send) -> None:
    """Send an answer, whatever has come of the body."""
    body = _unread(request)
    if body is None or _CLOSE in answer.headers:  # the body itself was at fault: not a byte more
        await answer.send(request, send)
        return
    # A client that waits for our word to go on would get it by our reading; one that sent too much goes on for nothing.
    reads = request.header(b"expect") is None and body.received <= _SHORT
    if reads and await _read_rest(body):
        await answer.send(request, send)
        return
    if request.scope.get("http_version", "1.1").startswith("1"):
        answer.headers = (*answer.headers, _CLOSE)
    await answer.send(request, send)
    if reads:
        await _drop(body, _LINGER, _LINGER_SECONDS)


def _unread(request: Request) -> RequestBody | None:
    """Return the body when there is more of it to come."""
    try:
        body = request.body
    except RegistryError:  # nobody knows where it ends; the answer says so and closes
        return None
    return None if body.finished else body


async def _read_rest(body: RequestBody) -> bool:
    """Read a short rest and drop it; False when it is too long, too slow, or not what was announced."""
    if (body.announced or 0) <= _SHORT:
        await _drop(body, _SHORT, _SHORT_SECONDS)
    return body.finished


async def _drop(body: RequestBody, size: int, seconds: float) -> None:
    """Read so many bytes, so long, and drop them."""
    end = body.received + size
    with suppress(ClientGone, RegistryError, TimeoutError):
        async with asyncio.timeout(seconds):
            async for _ in body:
                if body.received > end:
                    return
                await asyncio.sleep(0)  # lets the time run out even where every piece is there at once
