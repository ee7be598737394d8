"""Interleaved rounds of two or more servers, and what they come to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from benchmarks.machine import Watch
from benchmarks.processes import Server, wait_until_idle

ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One server in one round: `value` in the scenario's unit, CPU seconds per 10,000 requests (or per GB)."""

    value: float
    cpu: float = 0.0
    errors: int = 0
    others: float = 0.0  #: share of all processors that other work used meanwhile, from 0 to 1
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All rounds of one scenario."""

    scenario: str
    unit: str
    more_is_better: bool = True
    target: str = ""
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)  #: peak bytes by server

    def median(self, name: str) -> float:
        """Return the median value of a server."""
        return statistics.median(sample.value for sample in self.samples[name])

    def cpu(self, name: str) -> float:
        """Return the median CPU cost of a server."""
        return statistics.median(sample.cpu for sample in self.samples[name])

    def others(self) -> float:
        """Return the median share of the processors that other work used during the rounds."""
        return statistics.median(sample.others for samples in self.samples.values() for sample in samples)

    def ratios(self, ours: str, peer: str) -> list[float]:
        """Return how many times better ours was than the peer, round by round."""
        pairs = zip(self.samples[ours], self.samples[peer], strict=True)
        if self.more_is_better:
            return [a.value / b.value for a, b in pairs]
        return [b.value / a.value for a, b in pairs]

    def as_json(self) -> dict[str, object]:
        """Return everything for the results file."""
        return {
            "scenario": self.scenario,
            "unit": self.unit,
            "more_is_better": self.more_is_better,
            "target": self.target,
            "rounds": {name: [asdict(sample) for sample in samples] for name, samples in self.samples.items()},
            "peak_memory_bytes": self.memory,
        }


def interleave(
    outcome: Outcome, servers: Sequence[Server], measure: Callable[[Server], Sample], *, rounds: int = ROUNDS
) -> Outcome:
    """Measure every server in each round, in turn; the first, unmeasured round warms up."""
    wait_until_idle(servers)
    for number in range(rounds + 1):
        for server in servers:
            watch = Watch()
            sample = measure(server)
            if number > 0:
                outcome.samples.setdefault(server.name, []).append(replace(sample, others=watch.others()))
            outcome.memory[server.name] = max(outcome.memory.get(server.name, 0), server.memory())
    return outcome


def per_ten_thousand(server: Server, before: float, requests: int) -> float:
    """Return the CPU seconds that a server used since `before`, per 10,000 requests."""
    return (server.cpu_seconds() - before) / max(requests, 1) * 10_000
