"""The authorisation matrix is what it is meant to be: `matrix.txt`, which people read and approve.

python -m tests.http.api.approve_matrix    writes it anew, to be looked at before a commit
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.http.api.matrix import Table, open_matrix, read_table, table_of

#: What everybody may ask, whoever they are.
EVERYBODY = frozenset(("GET /ping", "GET /health", "GET /systeminfo", "GET /search", "GET /statistics"))
REFUSED = ("revoked", "wrong-password", "expired-key")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Ask every cell once, for all tests, on a loop of its own."""

    async def ask() -> Table:
        with pytest.MonkeyPatch.context() as patch:
            async with open_matrix(tmp_path_factory.mktemp("matrix"), patch) as matrix:
                return await table_of(matrix)

    with asyncio.Runner() as runner:
        return runner.run(ask())


def test_every_cell_is_as_approved(table: Table) -> None:
    """A new route needs a row, and no cell may change unseen."""
    approved = read_table(Path(__file__).with_name("matrix.txt"))
    assert table.cells.keys() - approved.cells.keys() == set(), "routes without a row: approve the matrix anew"
    assert approved.cells.keys() - table.cells.keys() == set(), "rows without a route: approve the matrix anew"
    changed = {
        str(cell): (approved.cells[cell], got) for cell, got in table.cells.items() if approved.cells[cell] != got
    }
    assert changed == {}
    assert len(table.cells) >= 1000


def test_nobody_without_credentials_changes_anything(table: Table) -> None:
    """Neither the anonymous nor a caller whose credentials were refused gets as far as a write."""
    for cell, got in table.cells.items():
        if cell.caller in ("anonymous", *REFUSED):
            assert got != "write", cell


def test_refused_credentials_get_401_everywhere(table: Table) -> None:
    """A key that has ended, a revoked or a wrong password are no better than each other, also on open paths."""
    for cell, got in table.cells.items():
        if cell.caller in REFUSED:
            assert got == "401" or f"{cell.method} {cell.path}" in EVERYBODY, (cell, got)


def test_what_one_may_not_see_looks_as_if_it_were_not_there(table: Table) -> None:
    """For whoever is no member, a foreign project answers as a missing one does."""
    for cell, got in table.cells.items():
        if cell.object == "foreign" and cell.caller not in ("system-admin", "robot-system", "narrow-key"):
            assert got == table.cells[cell.on("missing")], cell


def test_a_thing_of_another_project_is_not_found_below_ones_own(table: Table) -> None:
    """Whoever may change things in a project cannot reach another project's things through its path."""
    for cell, got in table.cells.items():
        if cell.object == "crossed":
            assert got in ("401", "403", "404"), (str(cell), got)


def test_no_cell_is_a_failure_of_the_server(table: Table) -> None:
    """Whatever is asked by whomever, the answer is no 500."""
    assert [str(cell) for cell, got in table.cells.items() if got.startswith("5")] == []


def test_a_role_never_has_less_than_the_one_below_it(table: Table) -> None:
    """Whatever a limited guest may, a guest may, and so on up to the administrator of the project."""
    order = ("limitedGuest", "guest", "developer", "maintainer", "projectAdmin", "system-admin")
    for cell, got in table.cells.items():
        if cell.caller in order[:-1] and got not in ("401", "403", "404"):
            above = table.cells[cell.by(order[order.index(cell.caller) + 1])]
            assert above not in ("401", "403"), (str(cell), got, above)
