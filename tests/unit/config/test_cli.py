"""`entrepot config`."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from entrepot.cli.config import app
from entrepot.config import load
from entrepot.config.reference import render_reference
from tests.unit.config.test_loading import FULL_V2


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give a configuration that can be served, with a warning."""
    path = tmp_path / "config.yml"
    path.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}}}}}\nhttp: {{addr: 'localhost:1'}}"
    )
    return path


def run(*arguments: object, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environ)


def test_check_says_ready_and_exits_with_0(config: Path) -> None:
    """Warnings and the variables used are told."""
    result = run("check", config, environ={"REGISTRY_LOG_LEVEL": "debug", "REGISTRY_FOO": "x"})
    assert result.exit_code == 0
    assert "warning: Ignoring unrecognized environment variable REGISTRY_FOO\n" in result.stdout
    assert "warning: auth: there is none" in result.stdout
    assert "variables used: REGISTRY_LOG_LEVEL\n" in result.stdout
    assert result.stdout.endswith(f"{config} is ready to serve\n")


def test_check_says_what_is_wrong_and_exits_with_1(config: Path) -> None:
    """Every problem on its line."""
    result = run("check", config, environ={"REGISTRY_STORAGE": "s3", "REGISTRY_PROXY_REMOTEURL": "https://x"})
    assert result.exit_code == 1
    assert result.stdout.count("error: ") == 4  # proxy; bucket, region, and a place for the databases
    assert result.stdout.endswith(f"{config} is not ready to serve\n")


def test_check_of_a_file_that_cannot_be_read_exits_with_1() -> None:
    """Without a traceback."""
    result = run("check", "/no/such.yml")
    assert result.exit_code == 1
    assert result.stdout.startswith("error: cannot read the configuration file /no/such.yml")


def test_check_speaks_json(config: Path) -> None:
    """For programs: the same, as one object."""
    good = json.loads(run("check", config, "--json", environ={"REGISTRY_LOG_LEVEL": "debug"}).stdout)
    assert (good["ok"], good["problems"], good["variables"]) == (True, [], ["REGISTRY_LOG_LEVEL"])
    bad = json.loads(run("check", "/no/such.yml", "--json").stdout)
    assert (bad["ok"], len(bad["problems"])) == (False, 1)


def test_check_without_a_file_checks_the_defaults(tmp_path: Path) -> None:
    """With the options that serve takes."""
    result = run("check", "--data", tmp_path / "data", "--listen", "127.0.0.1:0")
    assert result.exit_code == 0
    assert result.stdout == "the built-in configuration is ready to serve\n"


def test_show_masks_secrets(tmp_path: Path) -> None:
    """All else is there."""
    path = tmp_path / "config.yml"
    path.write_text(FULL_V2)
    for options in ([], ["--all"], ["--json"]):
        result = run("show", path, *options)
        assert result.exit_code == 0
        assert "hunter2" not in result.stdout
        assert "mail.example.org:25" in result.stdout
        assert "https://user:********@events.example.org/event" in result.stdout


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_what_is_shown_can_be_loaded_again(tmp_path: Path, options: list[str]) -> None:
    """It means the same configuration, but for the secrets."""
    path, shown = tmp_path / "config.yml", tmp_path / "shown.yml"
    path.write_text(FULL_V2)
    shown.write_text(run("show", path, *options).stdout)
    assert load(shown, {}).config.model_dump(mode="json") == load(path, {}).config.model_dump(mode="json")


def test_show_all_shows_defaults(config: Path) -> None:
    """And without --all only what differs from them."""
    assert "uploadpurging" not in yaml.safe_load(run("show", config).stdout).get("storage", {}).get("maintenance", {})
    everything = yaml.safe_load(run("show", config, "--all").stdout)
    assert everything["storage"]["maintenance"]["uploadpurging"]["age"] == "168h"


def test_show_of_a_wrong_file_exits_with_1(tmp_path: Path) -> None:
    """The problems go to the error output."""
    path = tmp_path / "config.yml"
    path.write_text("version: 0.1")
    result = run("show", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: storage: is required" in result.stderr


def test_reference_writes_the_page() -> None:
    """The command that makes docs/reference/configuration.md."""
    assert run("reference").stdout == render_reference()
