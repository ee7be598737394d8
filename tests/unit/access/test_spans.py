"""Lengths of time that a setting says are read beside the requests, and never lost."""

from __future__ import annotations

import asyncio

import pytest

from entrepot.access import durations
from entrepot.access.durations import SetSpan, always
from entrepot.metadata.errors import DatabaseUnavailable


class Setting:
    """A setting, and how often it was read."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.reads = 0

    async def __call__(self) -> object:
        """Read it, unless the database is away."""
        self.reads += 1
        if self.value is None:
            raise DatabaseUnavailable
        return self.value


def test_a_fixed_length_stays() -> None:
    """It is what it was made with."""
    assert always(90)() == 90


async def test_asking_for_it_reads_nothing() -> None:
    """Only a look does; a change is in force from then on."""
    setting = Setting(5)
    span = SetSpan(setting, 60)
    assert (span(), setting.reads) == (60, 0)
    await span.look()
    setting.value = 20
    assert (span(), setting.reads) == (300, 1)
    await span.look()
    assert span() == 1200


async def test_what_cannot_be_read_stays_as_it_was() -> None:
    """At first that is what it was made with."""
    setting = Setting(None)
    span = SetSpan(setting, 60)
    await span.look()
    assert span() == 60
    setting.value = 10
    await span.look()
    setting.value = None
    await span.look()
    assert span() == 600


async def test_a_change_is_seen_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs beside the requests reads it again and again."""
    monkeypatch.setattr(durations, "PAUSE", 0.001)
    setting = Setting(5)
    span = SetSpan(setting, 60)
    running = asyncio.create_task(span.run())
    try:
        async with asyncio.timeout(10):
            while span() != 300:
                await asyncio.sleep(0.001)
            setting.value = 7
            while span() != 420:
                await asyncio.sleep(0.001)
    finally:
        running.cancel()
