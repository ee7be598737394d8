"""Run the benchmarks and print one table."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from benchmarks import machine, table
from benchmarks.processes import scratch
from benchmarks.rounds import Outcome
from benchmarks.scenarios import SCENARIOS

_RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str]) -> int:
    """Run the named scenarios, or all of them; one that fails is told of, and the others still run."""
    if arguments == ["--list"]:
        print("\n".join(SCENARIOS))
        return 0
    unknown = [name for name in arguments if name not in SCENARIOS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    before = machine.Machine.now()
    print(before, file=sys.stderr)
    machine.touch_memory()
    watch = machine.Watch()
    outcomes: list[Outcome] = []
    failed = []
    for name in arguments or SCENARIOS:
        try:
            outcomes += _run(name)
        except Exception:  # noqa: BLE001 - an hour of others' figures must not be lost with it
            traceback.print_exc()
            failed.append(name)
        saved = table.save(outcomes, _RESULTS, before, watch.others())
    table.show(outcomes)
    print(f"every round: {saved}\n\n{table.markdown(outcomes)}\n\n{machine.verdict(watch.others())}", file=sys.stderr)
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str) -> list[Outcome]:
    print(f"{name} … (load {machine.Machine.now().load[0]:.2f})", file=sys.stderr, flush=True)
    with scratch(name) as folder:
        return SCENARIOS[name](folder)


sys.exit(main(sys.argv[1:]))
