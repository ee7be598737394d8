"""Print how long functions and files are, and the longest of each: `make shape`.

A function's length is its lines without decorators and docstring. The house aims at a median below 10, nine in ten
below 30, and files of one thought, rarely above 300 lines.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LONGEST = 10


class Measured(NamedTuple):
    """The length of one function or file."""

    lines: int
    where: str


def main(folders: Sequence[str]) -> int:
    """Measure the Python files below the folders and print the report."""
    files: list[Measured] = []
    functions: list[Measured] = []
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        files.append(Measured(len(text.splitlines()), str(path)))
        functions.extend(measure_functions(text, str(path)))
    report("functions", functions)
    report("files", [file for file in files if file.lines])
    return 0


def measure_functions(text: str, path: str) -> Iterator[Measured]:
    """Measure every function and method of a file, nested ones too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Measured(_body_lines(node), f"{path}:{node.lineno} {node.name}")


def report(what: str, measured: Sequence[Measured]) -> None:
    """Print the quantiles and the longest."""
    if not measured:
        print(f"no {what}")
        return
    lengths = sorted(one.lines for one in measured)
    median, most = _quantile(lengths, 0.5), _quantile(lengths, 0.9)
    print(f"{len(lengths)} {what}: median {median}, 90 % {most}, longest {lengths[-1]} lines")
    for one in sorted(measured, reverse=True)[:LONGEST]:
        print(f"  {one.lines:5}  {one.where}")


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def _quantile(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["src"]))
