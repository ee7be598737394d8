"""Lists that are in memory whole, filtered, sorted and cut as the others are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from entrepot.access.faults import Invalid
from entrepot.metadata.filtering import Condition, Match, Selection

T = TypeVar("T")
#: How to get a field of an entry, by the field's name.
Getters = Mapping[str, Callable[[T], Any]]


def chosen(entries: Iterable[T], wanted: Selection, fields: Getters[T]) -> list[T]:
    """Return the entries that are asked for, in the order asked for; without one, in their own.

    Raises:
        Invalid: A field is compared in a way that it cannot be.
    """
    found = [each for each in entries if all(_fits(c, fields[c.field](each)) for c in wanted.conditions)]
    for order in reversed(wanted.order):
        found.sort(key=fields[order.field], reverse=order.descending)
    return found


def page(entries: Sequence[T], wanted: Selection) -> Sequence[T]:
    """Return the part that is asked for."""
    return entries[wanted.offset : wanted.offset + wanted.limit]


def _fits(condition: Condition, value: Any) -> bool:
    match condition.match:
        case Match.EQUAL:
            return bool(value == condition.values[0])
        case Match.CONTAINS:
            return str(condition.values[0]).lower() in str(value).lower()
        case Match.ANY:
            return value in condition.values
        case Match.RANGE:
            low, high = condition.values
            return (low is None or low <= value) and (high is None or value <= high)
    raise Invalid(f"q: an entry has one {condition.field} only; ask for k={{a b}} in place of k=(a b)")
