"""How long a failed run waits for its next attempt."""

from __future__ import annotations

import pytest

from entrepot.jobs.execution import pause_before
from entrepot.system.jobs.traits import JobTraits

TRAITS = JobTraits(name="probe", title="Try", pause=10.0, longest_pause=600.0)


@pytest.mark.parametrize(("attempt", "most"), [(2, 10.0), (3, 20.0), (4, 40.0), (8, 600.0), (10_000, 600.0)])
def test_a_pause_doubles_up_to_a_bound_with_jitter(attempt: int, most: float) -> None:
    """It lies between half of it and all of it, and differs from run to run."""
    pauses = [pause_before(attempt, TRAITS) for _ in range(200)]
    assert most / 2 <= min(pauses) <= max(pauses) <= most
    assert max(pauses) - min(pauses) > most / 4
