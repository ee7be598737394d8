"""Lengths of time that a setting says are read seldom, and never lost."""

from __future__ import annotations

from entrepot.access.spans import MAX_AGE, SetSpan, always
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


async def test_a_fixed_length_stays() -> None:
    """It is what it was made with."""
    assert await always(90)() == 90


async def test_a_change_is_in_force_within_half_a_minute() -> None:
    """Until then nothing is read again."""
    now = [0.0]
    setting = Setting(5)
    span = SetSpan(setting, 60, clock=lambda: now[0])
    assert await span() == 300
    setting.value = 20
    now[0] = MAX_AGE - 1
    assert (await span(), setting.reads) == (300, 1)
    now[0] = MAX_AGE
    assert (await span(), setting.reads) == (1200, 2)


async def test_what_cannot_be_read_stays_as_it_was() -> None:
    """At first that is what it was made with."""
    now = [0.0]
    setting = Setting(None)
    span = SetSpan(setting, 60, clock=lambda: now[0])
    assert await span() == 60
    setting.value, now[0] = 10, MAX_AGE
    assert await span() == 600
    setting.value, now[0] = None, 2 * MAX_AGE
    assert await span() == 600
