"""What an analysis adds up, before it is written down."""

from __future__ import annotations

import time

from entrepot.insight.analysed_repositories import Place
from entrepot.insight.usage_sums import Sums


def seconds_to_add(projects: int) -> float:
    """Measure how long it takes to count one blob that so many projects have; the best of three times."""
    uses = [(Place(number, number, in_trash=False), 1) for number in range(1, projects + 1)]
    found = []
    for _ in range(3):
        sums = Sums()
        begun = time.thread_time()
        sums.add(5, uses)
        found.append(time.thread_time() - begun)
        assert sums.totals["logical_bytes"] == 5 * projects
    return min(found)


def test_a_blob_of_very_many_projects_is_added_in_proportion() -> None:
    """A base image is in all of them: eight times as many take eight times as long, and not sixty-four."""
    assert seconds_to_add(8000) < 25 * seconds_to_add(1000)
