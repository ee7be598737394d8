"""What commands print of things that they have made: a sentence for people, the thing itself for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.commands import Run, runner, runner_at
from tests.support.server import Server


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Give a function that runs commands on a registry, as its administrator."""
    with Server() as server:
        yield runner_at("server", server, runner(tmp_path_factory.mktemp("home")))


def test_what_was_made_is_json_for_programs(run: Run) -> None:
    """A project and a robot, with the secret that is told this once."""
    assert json.loads(run("project", "create", "team", "--json").stdout)["name"] == "team"
    assert run("project", "create", "other").stdout == "other is created, and private.\n"
    made = json.loads(run("robot", "create", "ci", "--project", "team", "--allow", "repository:pull", "--json").stdout)
    assert made["name"] == "robot$team+ci"
    assert made["secret"]


def test_people_and_what_they_may_do_are_json_for_programs(run: Run) -> None:
    """Accounts with a password that was made up, groups, roles, members, grants and rules: each with its number."""

    def made(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run(*words, "--json").stdout)
        return found

    run("project", "create", "depot")
    alice = made("user", "create", "alice", "--admin", "--generate")
    assert (alice["username"], alice["sysadmin_flag"]) == ("alice", True)
    assert alice["password"]
    assert made("group", "create", "builders")["group_name"] == "builders"
    assert made("role", "create", "tagger", "--allow", "tag:create")["permissions"]
    assert made("member", "add", "depot", "alice", "--role", "tagger")["role_name"] == "tagger"
    grant = made("access", "give", "tagger", "--group", "builders", "--project", "depot")
    assert (grant["project_name"], grant["principal_name"]) == ("depot", "builders")
    assert made("immutable", "add", "depot", "--tags", "v*")["id"] == 1
    assert made("retention", "add", "depot", "--latest-pushed", "10")["params"] == {"latestPushedK": 10}
