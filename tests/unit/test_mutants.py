"""The tool that changes code a little: which changes there are, and that it tells noticed ones from others."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutants.__main__ import Mutant, drawn
from tools.mutants.areas import ROOT, areas
from tools.mutants.mutations import mutated, places

SOURCE = '''
def rest(numbers: list[int], most: int = 3) -> list[int]:
    """Text is left alone, 1 == 1."""
    found = []
    for number in numbers:
        if number is None or not number < most:
            continue
        print(number)
        found.append(number + 1)
    if not found:
        raise ValueError("nothing" + " found")
    return found
'''


def changes() -> dict[str, str]:
    """Return each change of the module, by what it is and where."""
    return {f"{place.line}:{place.column} {place.change}": mutated(SOURCE, place) for place in places(SOURCE)}


def test_every_change_is_one() -> None:
    """Each gives a module that can be compiled and differs; texts, types and names stay."""
    found = changes()
    assert len(found) == len(places(SOURCE))
    for text in found.values():
        compile(text, "changed", "exec")
    assert len({*found.values(), ast.unparse(ast.parse(SOURCE))}) == len(found) + 1
    assert not [name for name in found if name.startswith(("3:", "4:")) or name == "11:14 arithmetic"]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("6 compare", "number <= most"),
        ("6 and/or", "number is None and"),
        ("6 not", "number is None or number < most"),
        ("6 always", "or True"),
        ("6 never", "and False"),
        ("7 break", "break"),
        ("8 leave out", "pass"),
        ("9 arithmetic", "number - 1"),
        ("9 number", "number + 2"),
        ("2 number", "most: int=4"),
        ("11 leave out", "pass"),
        ("12 return nothing", "return None"),
    ],
)
def test_what_is_changed(change: str, wanted: str) -> None:
    """What a tired programmer would get wrong."""
    line, what = change.split(" ", 1)
    made = [text for name, text in changes().items() if name.startswith(f"{line}:") and name.endswith(f" {what}")]
    assert any(wanted in one for one in made)


def test_the_same_seed_draws_the_same() -> None:
    """And another one others; never one twice."""
    area = areas()["quota"]
    first = drawn(area, 50, 1)
    assert first == drawn(area, 50, 1) != drawn(area, 50, 2)
    assert len(set(first)) == 50
    assert all((ROOT / mutant.path).exists() for mutant in first)


def test_a_change_that_is_noticed_and_one_that_is_not() -> None:
    """By tests that run in a fork, on the changed code."""
    script = """
import sys, time
from pathlib import Path
from tools.mutants import runner
runner.preload()
path = Path("src/entrepot/oci/negotiation.py")
source = path.read_text()
for text in (source, source + "\\n\\ndef matches_etag(*_):\\n    return None\\n", source + "\\nraise OSError\\n"):
    run = runner.Run(path, text, ["tests/unit/oci/test_negotiation.py"], 60.0)
    while (outcome := run.outcome()) is None:
        time.sleep(0.02)
    print(outcome.value)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["survived", "killed", "killed"]


def test_survivors_are_named_by_their_place() -> None:
    """So that those which make no difference can be listed with the reason."""
    (first, *_) = places(SOURCE)
    assert str(Mutant(Path("a.py"), first)) == f"a.py:{first.line}:{first.column} {first.change}"
