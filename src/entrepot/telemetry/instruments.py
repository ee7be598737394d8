"""Counters, gauges and histograms of one process.

Updating one costs a dictionary look-up and an addition, because every request does it several times: the values are
plain numbers here, written out once in a while (`snapshots`) and rendered by the supervisor (`exposition`).
Instruments belong to the thread of the event loop that made them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Final

Labels = tuple[str, ...]

#: Seconds; the steps of registry:2's latency histogram, so that its dashboards go on working.
SECONDS_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
#: Bytes; 1 KiB to 2 GiB in powers of two, as registry:2 counts message sizes.
BYTES_BOUNDS: Final = tuple(float(1024 << step) for step in range(22))


@dataclass(slots=True, kw_only=True)
class Family:
    """All series of one metric, as one process saw them."""

    kind: str
    name: str
    help: str
    label_names: Labels
    bounds: tuple[float, ...] = ()
    #: Counters and gauges hold one number, histograms a count per bucket, one for +Inf, then the sum.
    series: dict[Labels, list[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give the family as plain JSON values."""
        rows = [[list(labels), list(numbers)] for labels, numbers in self.series.items()]
        return {
            "kind": self.kind,
            "name": self.name,
            "help": self.help,
            "label_names": list(self.label_names),
            "bounds": list(self.bounds),
            "series": rows,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Family:
        """Read a family that `as_json` wrote."""
        return cls(
            kind=data["kind"],
            name=data["name"],
            help=data["help"],
            label_names=tuple(data["label_names"]),
            bounds=tuple(data["bounds"]),
            series={tuple(labels): list(numbers) for labels, numbers in data["series"]},
        )

    def add(self, other: Family) -> None:
        """Add another process's numbers to these, series by series."""
        for labels, numbers in other.series.items():
            mine = self.series.get(labels)
            if mine is None or len(mine) != len(numbers):
                self.series[labels] = list(numbers)
            else:
                self.series[labels] = [a + b for a, b in zip(mine, numbers, strict=True)]


class Counter:
    """A number that only rises."""

    __slots__ = ("_series", "family")

    def __init__(self, family: Family) -> None:
        self.family = family
        self._series = family.series

    def inc(self, *labels: str, by: float = 1.0) -> None:
        """Add `by` to the series of these label values."""
        series = self._series.get(labels)
        if series is None:
            self._series[labels] = [by]
        else:
            series[0] += by


class Gauge:
    """A number that rises and falls; those of all live processes are summed."""

    __slots__ = ("_series", "family")

    def __init__(self, family: Family) -> None:
        self.family = family
        self._series = family.series

    def set(self, value: float, *labels: str) -> None:
        """Say what the number is now."""
        self._series[labels] = [value]

    def add(self, amount: float, *labels: str) -> None:
        """Change the number by `amount`."""
        series = self._series.get(labels)
        if series is None:
            self._series[labels] = [amount]
        else:
            series[0] += amount


class Histogram:
    """Counts of observed values by size, and their sum."""

    __slots__ = ("_series", "bounds", "family")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.bounds = family.bounds
        self._series = family.series

    def series(self, *labels: str) -> list[float]:
        """Give the numbers of one series, to be fed by `count` without looking the labels up again."""
        numbers = self._series.get(labels)
        if numbers is None:
            numbers = self._series[labels] = [0.0] * (len(self.bounds) + 2)
        return numbers

    def observe(self, value: float, *labels: str) -> None:
        """Count one value."""
        count(self.series(*labels), self.bounds, value)


def count(numbers: list[float], bounds: tuple[float, ...], value: float) -> None:
    """Count one value in the numbers of a histogram's series."""
    numbers[bisect_left(bounds, value)] += 1
    numbers[-1] += value


class Metrics:
    """All instruments of one process. Asking for a name again gives the same instrument."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def counter(self, name: str, text: str, labels: Labels = ()) -> Counter:
        """Give the counter of this name; it is shown with `_total` at its end."""
        return Counter(self._family("counter", name, text, labels))

    def gauge(self, name: str, text: str, labels: Labels = ()) -> Gauge:
        """Give the gauge of this name."""
        return Gauge(self._family("gauge", name, text, labels))

    def histogram(
        self, name: str, text: str, labels: Labels = (), bounds: tuple[float, ...] = SECONDS_BOUNDS
    ) -> Histogram:
        """Give the histogram of this name."""
        return Histogram(self._family("histogram", name, text, labels, bounds))

    def families(self) -> list[Family]:
        """Give every family, in the order in which they were first asked for."""
        return list(self._families.values())

    def restore(self, families: list[Family]) -> None:
        """Go on counting where an earlier process stopped; gauges start anew."""
        for old in families:
            if old.kind == "gauge":
                continue
            new = self._family(old.kind, old.name, old.help, old.label_names, old.bounds)
            new.add(old)

    def _family(self, kind: str, name: str, text: str, labels: Labels, bounds: tuple[float, ...] = ()) -> Family:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Family(kind=kind, name=name, help=text, label_names=labels, bounds=bounds)
        return family
