"""`entrepot usage` before the first analysis, and of what none has seen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from entrepot.cli import project
from entrepot.cli.usage import app
from entrepot.metadata.opening import open_embedded

#: With the place that the command named.
HOW = "entrepot --data {} job start analysis"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a registry that was started and has not analysed anything."""
    made = tmp_path_factory.mktemp("data")

    async def start() -> None:
        await (await open_embedded(made / "entrepot")).close()

    asyncio.run(start())
    return made


def said(folder: Path, *words: str) -> str:
    """Run a command and return what it says."""
    done = CliRunner(env={"COLUMNS": "250"}).invoke(app, [*words, "--data", str(folder)])
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    return done.stdout


def test_nothing_is_said_to_be_zero_that_nobody_has_added_up(folder: Path) -> None:
    """Of the disk there is what the disk itself says, and how an analysis is begun."""
    disk = said(folder, "disk")
    assert "free" in disk
    assert "stored for images" not in disk
    assert " 0 " not in disk
    assert disk.endswith(f"No analysis has been made yet: {HOW.format(folder)}\n")


@pytest.mark.parametrize("what", ["images", "layers"])
def test_an_empty_list_of_the_largest_says_how_an_analysis_is_begun(folder: Path, what: str) -> None:
    """In place of a table without rows; a program gets its empty list."""
    assert said(folder, "top", what) == f"No analysis has found any {what} yet: {HOW.format(folder)}\n"
    assert said(folder, "top", what, "--json") == "[]\n"


def test_a_project_without_repositories_says_nothing_of_analyses(folder: Path) -> None:
    """There is nothing that one could have seen; of the project itself, which none has seen, it says how to begin."""
    runner = CliRunner(env={"COLUMNS": "250"})
    assert runner.invoke(project.app, ["create", "hollow", "--data", str(folder)]).exit_code == 0
    assert "nalysis" not in said(folder, "show", "hollow")
    assert said(folder, "show").endswith(f"No analysis has seen anything of this yet: {HOW.format(folder)}\n")
