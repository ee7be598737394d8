"""The scrub's rate."""

import asyncio

import pytest

from entrepot.integrity.blob_read import Pace


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note how long is slept in place of sleeping."""
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return naps


async def test_bytes_are_spread_over_time(slept: list[float]) -> None:
    """At 100 bytes a second 50 bytes take half a second, and what was not used up before is no credit."""
    now = [1000.0]
    pace = Pace(100, clock=lambda: now[0])
    await pace.took(50)
    now[0] += 0.2
    await pace.took(50)
    now[0] += 3600
    await pace.took(10)
    assert slept == pytest.approx([0.5, 0.8, 0.1])


async def test_without_a_rate_nothing_is_waited_for(slept: list[float]) -> None:
    """Rate 0 is as fast as it goes."""
    await Pace(0).took(10**12)
    assert slept == []
