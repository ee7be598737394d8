"""The judge of tag histories, held against a search through all orders."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.register import Operation, violations


def is_linearizable(history: list[Operation]) -> bool:
    """Search for an order that respects time and in which each read sees the last write."""
    return any(_is_right(order) for order in permutations(history))


def _is_right(order: tuple[Operation, ...]) -> bool:
    value = None
    for position, operation in enumerate(order):
        if any(later.end < operation.start for later in order[position + 1 :]):
            return False
        if operation.is_write:
            value = operation.value
        elif operation.value != value:
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Up to three writes and three reads of what was written, at distinct times."""
    values = [f"v{number}" for number in range(draw(st.integers(1, 3)))]
    reads = draw(st.lists(st.sampled_from(values), max_size=3))
    kinds = [(value, True) for value in values] + [(value, False) for value in reads]
    times = draw(st.permutations(range(2 * len(kinds))))
    spans = [sorted(times[2 * place : 2 * place + 2]) for place in range(len(kinds))]
    return [
        Operation(value=value, is_write=is_write, start=start, end=end)
        for (value, is_write), (start, end) in zip(kinds, spans, strict=True)
    ]


@settings(max_examples=400, deadline=None)
@given(histories())
def test_it_agrees_with_a_search_through_all_orders(history: list[Operation]) -> None:
    """A history is found impossible exactly when no order explains it."""
    assert (violations(history) == []) == is_linearizable(history)


@pytest.mark.parametrize(
    ("reads", "possible"),
    [
        pytest.param([("new", 5, 6)], True, id="the-last-write"),
        pytest.param([("old", 5, 6)], False, id="an-older-write"),
        pytest.param([("old", 3, 6)], True, id="concurrent-with-the-last-write"),
        pytest.param([("new", 2.5, 3.5), ("old", 3.6, 3.8)], False, id="back-in-time"),
        pytest.param([("never", 5, 6)], False, id="never-written"),
    ],
)
def test_what_a_reader_may_see(reads: list[tuple[str, float, float]], *, possible: bool) -> None:
    """After `old` was written at 1 to 2, and `new` at 3 to 4."""
    history = [
        Operation(value="old", is_write=True, start=1, end=2),
        Operation(value="new", is_write=True, start=3, end=4),
        *(Operation(value=value, start=start, end=end) for value, start, end in reads),
    ]
    assert (violations(history) == []) == possible
