"""The report of the authorisation matrix: how many cells there are, and that all are as expected."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.http.matrix.cells import CALLERS, MOUNT, REFUSALS, WRITE, Cell, Row, Table

REPORT = Path(__file__).parents[3] / "build" / "reports" / "authorisation-matrix.txt"


def differences(asked: Table, expected: Table) -> list[str]:
    """Say of each cell that is not as expected what it is; cells that one of the tables lacks are among them."""
    every = sorted({*asked.cells, *expected.cells}, key=lambda cell: (cell.row, cell.caller))
    return [
        f"{cell}: {asked.cells.get(cell, 'not asked')}, expected {expected.cells.get(cell, 'nothing: it has no row')}"
        for cell in every
        if asked.cells.get(cell) != expected.cells.get(cell)
    ]


def report(asked: Table, expected: Table) -> str:
    """Return the report."""
    different = differences(asked, expected)
    rows = asked.rows
    routes = {(row.method, row.path) for row in rows}
    verdict = f"{len(different)} ARE NOT AS EXPECTED" if different else "all as expected"
    head = [
        "Authorisation matrix",
        "",
        f"{len(asked.cells)} cells ({len(routes)} routes, {len(rows)} routes with objects, {len(CALLERS)} callers):",
        f"{verdict}.",
        *(f"  {each}" for each in different),
        "",
        *_by_part(asked),
        "",
        "none, pul, pus, del: the actions in a token. write: something was changed (and undone). mount: a blob of",
        "another repository came into this one. Other cells are the status of the answer.",
        "",
    ]
    return "\n".join(head) + asked.text()


def _by_part(asked: Table) -> list[str]:
    """Count cells and what was let through, for each part of the registry."""
    cells, passed = Counter[str](), Counter[str]()
    for cell, status in asked.cells.items():
        cells[_part(cell.row)] += 1
        passed[_part(cell.row)] += status not in REFUSALS
    return [f"{part:24} {cells[part]:6} cells, {passed[part]:6} let through" for part in sorted(cells)]


def _part(row: Row) -> str:
    words = [word for word in row.path.split("/") if word]
    return "/" + "/".join(words[:3] if words[:1] == ["api"] else words[:1])


def changes(asked: Table) -> dict[Cell, str]:
    """Return the cells that changed something."""
    return {cell: status for cell, status in asked.cells.items() if status in (WRITE, MOUNT)}
