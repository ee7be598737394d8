"""What commands print of things that they have made: a sentence for people, the thing itself for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrepot.metadata.opening import open_embedded
from tests.support.commands import Run, runner


@pytest.fixture
async def run(tmp_path: Path) -> Run:
    """Give a function that runs commands on a folder with a registry."""
    (tmp_path / "data" / "entrepot").mkdir(parents=True)
    await (await open_embedded(tmp_path / "data" / "entrepot")).close()
    command = runner(tmp_path)
    return lambda *arguments, **more: command(*arguments, "--data", str(tmp_path / "data"), **more)


def test_what_was_made_is_json_for_programs(run: Run) -> None:
    """A project and a robot, with the secret that is told this once."""
    assert json.loads(run("project", "create", "team", "--json").stdout)["name"] == "team"
    assert run("project", "create", "other").stdout == "other is created, and private.\n"
    made = json.loads(run("robot", "create", "ci", "--project", "team", "--allow", "repository:pull", "--json").stdout)
    assert made["name"] == "robot$team+ci"
    assert made["secret"]
