"""Reading bodies."""

import asyncio
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from entrepot.oci.errors import RequestTimeout, SizeInvalid
from entrepot.web.body import BodyLimits, BodyTooLarge, ClientGone, RequestBody

Message = dict[str, Any]


def body_of(*messages: Message | float, announced: int | None = None, limits: BodyLimits | None = None) -> RequestBody:
    """Return a body whose server gives these messages; a number is a pause before the next one."""
    waiting = list(messages)

    async def receive() -> Message:
        while isinstance(item := waiting.pop(0), float):
            await asyncio.sleep(item)
        return item

    return RequestBody(receive, announced, limits or BodyLimits(), expected=True)


def piece(data: bytes, *, more: bool = True) -> Message:
    """Return a message with a piece of a body."""
    return {"type": "http.request", "body": data, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


async def test_pieces_come_as_they_are() -> None:
    """Pieces are passed on one by one, empty ones left out, and the end is known."""
    body = body_of(piece(b"ab"), piece(b""), piece(b"c"), piece(b"", more=False))
    assert not body.finished
    assert [part async for part in body] == [b"ab", b"c"]
    assert (body.received, body.finished, body.empty) == (3, True, False)


async def test_a_body_is_read_once() -> None:
    """After the end there is nothing, however often it is asked for."""
    body = body_of(piece(b"a", more=False))
    assert [part async for part in body] == [b"a"]
    assert [part async for part in body] == []


@pytest.mark.parametrize("last", [GONE, {"type": "http.anything"}])
async def test_anything_else_is_an_abort(last: Message) -> None:
    """Only `http.request` is part of a body; a cut upload never looks complete."""
    body = body_of(piece(b"ab"), last)
    with pytest.raises(ClientGone):
        await body.read(100)
    assert body.received == 2


@pytest.mark.parametrize(
    ("announced", "pieces"),
    [(3, [b"ab"]), (1, [b"ab"]), (5, [b"ab", b"cd"]), (3, [b"ab", b"cd"]), (1, [])],
)
async def test_the_length_must_be_the_announced_one(announced: int, pieces: list[bytes]) -> None:
    """A body that ends early although it looks complete, or goes on, is refused."""
    body = body_of(*map(piece, pieces), piece(b"", more=False), announced=announced)
    with pytest.raises(SizeInvalid, match=f"announced {announced} bytes"):
        await body.read(100)


async def test_read_stops_at_the_limit() -> None:
    """What is announced too large is not read at all; what turns out so is not read further."""
    with pytest.raises(BodyTooLarge):
        await body_of(announced=11).read(10)
    body = body_of(piece(b"x" * 8), piece(b"x" * 8), piece(b"never asked for"))
    with pytest.raises(BodyTooLarge, match="10 bytes"):
        await body.read(10)
    assert body.received == 16


async def test_read_up_to_the_limit() -> None:
    """A body of exactly the limit is read."""
    assert await body_of(piece(b"x" * 8), piece(b"yy", more=False)).read(10) == b"x" * 8 + b"yy"


async def test_silence_is_a_time_out() -> None:
    """Nothing for too long ends the reading."""
    limits = BodyLimits(stall_seconds=0.02)
    with pytest.raises(RequestTimeout, match=r"0\.02 s"):
        await body_of(piece(b"a"), 5.0, piece(b"b"), limits=limits).read(10)


def drip(pieces: int, size: int, seconds: float) -> list[Message | float]:
    """Return pieces with pauses between them."""
    script: list[Message | float] = []
    for _ in range(pieces):
        script += [seconds, piece(b"x" * size)]
    return [*script, piece(b"", more=False)]


async def test_dripping_is_a_time_out() -> None:
    """Less than the least rate over a window ends the reading."""
    limits = BodyLimits(window_seconds=0.05, bytes_per_second=1000)
    with pytest.raises(RequestTimeout, match="1000 bytes/s"):
        await body_of(*drip(20, 1, 0.01), limits=limits).read(1000)


async def test_the_rate_is_measured_anew_in_each_window() -> None:
    """A fast start does not pay for a drip afterwards."""
    limits = BodyLimits(window_seconds=0.05, bytes_per_second=1000)
    script = [piece(b"x" * 100_000), *drip(30, 1, 0.01)]
    with pytest.raises(RequestTimeout):
        await body_of(*script, limits=limits).read(1_000_000)


async def test_our_own_slowness_is_not_the_clients() -> None:
    """Time that the reader of the body takes does not count against the client."""
    limits = BodyLimits(window_seconds=0.02, bytes_per_second=1_000_000)
    body = body_of(*(piece(b"x") for _ in range(5)), piece(b"", more=False), limits=limits)
    async for _ in body:
        await asyncio.sleep(0.03)
    assert body.received == 5


@pytest.mark.parametrize("make", [lambda: body_of(piece(b"", more=False)), lambda: body_of(announced=0)])
async def test_an_expected_body_may_be_empty(make: Callable[[], RequestBody]) -> None:
    """Whether a body is empty is known from the headers, or after reading."""
    body = make()
    assert not body.empty
    nothing = RequestBody(body._receive, None, BodyLimits(), expected=False)
    assert nothing.empty
    assert await nothing.read(10) == b""


async def test_a_body_in_pieces_of_two_bytes_takes_little_memory() -> None:
    """A manifest may come so; kept as pieces it would be twenty times as large."""

    async def receive() -> Message:
        if body.received % 2000 == 0:
            await asyncio.sleep(0)
        return {"type": "http.request", "body": os.urandom(2), "more_body": body.received < 200_000}

    body = RequestBody(receive, None, BodyLimits(), expected=True)
    tracemalloc.start()
    try:
        assert len(await body.read(1_000_000)) == 200_002
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
