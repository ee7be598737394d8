"""`entrepot db check` where there is little to check."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from entrepot.cli.db import app
from entrepot.metadata import schema
from entrepot.metadata.opening import METADATA_NAME, open_embedded


def check(folder: Path, *options: str) -> Result:
    """Run the command on a folder."""
    return CliRunner(env={"COLUMNS": "250"}).invoke(app, ["check", "--data", str(folder), *options])


@pytest.mark.parametrize("with_file", [False, True])
def test_a_folder_without_a_database_is_told_as_such(tmp_path: Path, *, with_file: bool) -> None:
    """No upgrade waits in it, so it is no failure; nothing is made there. An empty file is as good as none."""
    if with_file:
        (tmp_path / "entrepot").mkdir()
        (tmp_path / "entrepot" / METADATA_NAME).touch()
    before = sorted(tmp_path.rglob("*"))
    done = check(tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    what = "an empty" if with_file else "no"
    assert done.stdout.startswith(f"{tmp_path} has {what} database: the next start builds it with schema")
    expected = {"database": None, "program": schema.VERSION, "state": "new"}
    assert json.loads(check(tmp_path, "--json").stdout) == expected
    assert [path for path in sorted(tmp_path.rglob("*")) if not path.name.startswith(METADATA_NAME)] == [
        path for path in before if not path.name.startswith(METADATA_NAME)
    ]


def test_a_new_database_is_up_to_date(tmp_path: Path) -> None:
    """As a first start has built it."""

    async def start() -> None:
        await (await open_embedded(tmp_path / "entrepot")).close()

    asyncio.run(start())
    done = check(tmp_path)
    assert (done.exit_code, "It is up to date." in done.stdout) == (0, True)


def test_a_folder_that_is_not_there_is_no_new_one(tmp_path: Path) -> None:
    """A name that was mistyped is told as an error."""
    done = check(tmp_path / "none")
    assert (done.exit_code, "there is no registry in" in done.stderr) == (1, True)
