"""The matrix is asked once for all tests."""

from __future__ import annotations

import asyncio

import pytest

from tests.http.matrix.asking import ask_all
from tests.http.matrix.cells import Table, read_table
from tests.http.matrix.report import REPORT, report


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Ask every cell, and write the report."""
    with asyncio.Runner() as runner:
        asked = runner.run(ask_all(tmp_path_factory.mktemp("matrix")))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(report(asked, read_table()), encoding="utf-8")
    return asked
