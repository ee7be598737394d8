"""Draw changes by a seed, try them, and print how many the tests noticed: `make mutants`.

    python -m tools.mutants [AREA...] [--count 200] [--seed 1] [--least 95]

Ends with 1 where an area's tests notice fewer than the least share of the changes that make a difference.
"""

import argparse
import random
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tools.mutants import covering, runner
from tools.mutants.areas import ROOT, Area, areas
from tools.mutants.mutations import Place, mutated, places
from tools.mutants.runner import Outcome, Run

_ALIKE: Final = Path(__file__).with_name("alike.toml")
#: Seconds for the tests that reach a line, and for all of an area.
_SOME_SECONDS: Final = 120.0
_ALL_SECONDS: Final = 400.0
_AT_ONCE: Final = 2
_POLL_SECONDS: Final = 0.02


class Mutant(NamedTuple):
    """A change of a file."""

    path: Path
    place: Place

    def __str__(self) -> str:
        return f"{self.path}:{self.place.line}:{self.place.column} {self.place.change}"


@dataclass(slots=True)
class Tally:
    """What became of an area's changes."""

    area: str
    drawn: int = 0
    killed: int = 0
    alike: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def percent(self) -> float:
        """The share of what made a difference that was noticed."""
        return 100 * self.killed / max(1, self.drawn - self.alike)

    def __str__(self) -> str:
        return f"{self.area:<16}{self.drawn:>7}{self.alike:>7}{self.killed:>8}{self.percent:>8.1f} %"


def main(arguments: Sequence[str]) -> int:
    """Try the changes and print the table."""
    wanted = _arguments(arguments)
    known = areas()
    runner.preload()
    tallies = []
    for name in wanted.areas or list(known):
        tally = Tally(name)
        for mutant, outcome in _tried(known[name], wanted.count, wanted.seed):
            _count(tally, mutant, outcome)
        tallies.append(tally)
        print(*(f"survived: {mutant}" for mutant in tally.survivors), sep="\n")
    print(f"{'area':<16}{'drawn':>7}{'alike':>7}{'killed':>8}")
    print(*tallies, sep="\n")
    return 0 if all(tally.percent >= wanted.least for tally in tallies) else 1


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Change code, and run its tests.")
    parser.add_argument("areas", nargs="*", choices=[*areas(), []], metavar="AREA", help=", ".join(areas()))
    parser.add_argument("--count", type=int, default=200, help="changes of each area")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=float, default=95.0, help="percent that must be noticed")
    return parser.parse_args(arguments)


def drawn(area: Area, count: int, seed: int) -> list[Mutant]:
    """Draw changes of an area: the same seed gives the same ones while the code is the same."""
    every = [Mutant(path, place) for path in area.code for place in places((ROOT / path).read_text(encoding="utf-8"))]
    return random.Random(f"{seed} {area.name}").sample(every, min(count, len(every)))  # noqa: S311 - no secret


def _tried(area: Area, count: int, seed: int) -> Iterator[tuple[Mutant, Outcome]]:
    """Try changes, some at once; each with what came of it."""
    covered = covering.learn(area)
    waiting = drawn(area, count, seed)
    running: dict[Mutant, Run] = {}
    while waiting or running:
        while waiting and len(running) < _AT_ONCE:
            mutant = waiting.pop()
            tests = covered.tests(mutant.path, mutant.place.line)
            if tests == []:
                yield mutant, Outcome.SURVIVED  # no test comes there
            else:
                running[mutant] = _run(area, mutant, tests)
        for mutant, run in list(running.items()):
            outcome = run.outcome()
            if outcome is not None:
                del running[mutant]
                yield mutant, outcome
        time.sleep(_POLL_SECONDS)


def _run(area: Area, mutant: Mutant, tests: list[str] | None) -> Run:
    source = mutated((ROOT / mutant.path).read_text(encoding="utf-8"), mutant.place)
    if tests is None:
        return Run(mutant.path, source, area.tests, _ALL_SECONDS)
    return Run(mutant.path, source, sorted(tests), _SOME_SECONDS)


def _count(tally: Tally, mutant: Mutant, outcome: Outcome) -> None:
    tally.drawn += 1
    if outcome is not Outcome.SURVIVED:
        tally.killed += 1
    elif str(mutant) in tomllib.loads(_ALIKE.read_text(encoding="utf-8")):
        tally.alike += 1
    else:
        tally.survivors.append(mutant)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
