"""Run the benchmarks and print one table."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import table
from benchmarks.processes import scratch
from benchmarks.rounds import Outcome
from benchmarks.scenarios import SCENARIOS


def main(arguments: list[str]) -> int:
    """Run the named scenarios, or all of them."""
    if arguments == ["--list"]:
        print("\n".join(SCENARIOS))
        return 0
    unknown = [name for name in arguments if name not in SCENARIOS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    outcomes: list[Outcome] = []
    for name in arguments or SCENARIOS:
        print(f"{name} …", file=sys.stderr, flush=True)
        with scratch(name) as folder:
            outcomes += SCENARIOS[name](folder)
    table.show(outcomes)
    saved = table.save(outcomes, Path(__file__).parent / "results")
    print(f"every round: {saved}\n\n{table.markdown(outcomes)}", file=sys.stderr)
    return 0


sys.exit(main(sys.argv[1:]))
