"""From the command to the first answer, with much stored."""

from __future__ import annotations

from pathlib import Path

from benchmarks import peers, seed
from benchmarks.rounds import ROUNDS, Outcome, Sample


def start(folder: Path) -> list[Outcome]:
    """Start on 100,000 repositories with an image each; registry:2 starts on an empty folder."""
    data = folder / "many"
    seed.insert_repositories(data, 100_000)
    outcome = Outcome(scenario="start to first answer, 100,000 images", unit="s", more_is_better=False, target="<= 1 s")
    for number in range(ROUNDS + 1):
        for name, opening in ((peers.OURS, peers.entrepot(data)), (peers.REGISTRY2, peers.registry2(folder / "empty"))):
            with opening as server:
                if number > 0:
                    outcome.samples.setdefault(name, []).append(Sample(value=server.ready_seconds))
    return [outcome]
