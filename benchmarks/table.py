"""The results as one table, and as JSON."""

from __future__ import annotations

import datetime as dt
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.peers import OURS
from benchmarks.rounds import Outcome

_COLUMNS = (
    "scenario",
    "unit",
    "ours",
    "peer",
    "times better (spread)",
    "CPU ours / peer",
    "MB ours / peer",
    "others",
    "to reach",
)


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table."""
    table = Table(*_COLUMNS)
    for row in rows(outcomes):
        table.add_row(*row)
    Console(width=200).print(table)


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table for a README."""
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows(outcomes))])


def rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    """Give one row for each scenario and peer."""
    for outcome in outcomes:
        others = [name for name in outcome.samples if name != OURS]
        for name in others or [""]:
            yield _row(outcome, name)


def _row(outcome: Outcome, peer: str) -> tuple[str, ...]:
    ours = f"{outcome.median(OURS):,.4g}"
    mega = _mega(outcome, OURS)
    errors = sum(sample.errors for samples in outcome.samples.values() for sample in samples)
    scenario = outcome.scenario + (f" ({errors} errors!)" if errors else "")
    others = f"{outcome.others():.0%}"
    if not peer:
        return scenario, outcome.unit, ours, "-", "-", f"{outcome.cpu(OURS):.3g}", mega, others, outcome.target
    theirs = f"{outcome.median(peer):,.4g} ({peer})"
    cpu = f"{outcome.cpu(OURS):.3g} / {outcome.cpu(peer):.3g}"
    memory = f"{mega} / {_mega(outcome, peer)}"
    return scenario, outcome.unit, ours, theirs, _ratio(outcome, peer), cpu, memory, others, outcome.target


def _ratio(outcome: Outcome, peer: str) -> str:
    """Write the median ratio with its spread; a question mark says that the rounds disagree about who is better."""
    ratios = outcome.ratios(OURS, peer)
    unclear = " ?" if min(ratios) < 1 < max(ratios) else ""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}){unclear}"


def _mega(outcome: Outcome, name: str) -> str:
    return f"{outcome.memory[name] / 1e6:.0f}" if name in outcome.memory else "-"


def save(outcomes: Sequence[Outcome], folder: Path, machine: Machine, others: float) -> Path:
    """Write every round, with date, machine and how much of it others used."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "latest.json"
    date = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    scenarios = [outcome.as_json() for outcome in outcomes]
    document = {"date": date, "machine": asdict(machine), "others": round(others, 3), "scenarios": scenarios}
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
