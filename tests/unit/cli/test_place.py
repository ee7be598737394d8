"""Which registry a command means: a folder, a server that is named, the latest login, or what variables say."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from entrepot.cli.management import logins
from entrepot.cli.management.logins import Login
from entrepot.cli.management.place import find_login, is_folder
from entrepot.cli.place import located
from entrepot.metadata.opening import METADATA_NAME

FIRST, SECOND = "https://first.example.org", "https://second.example.org"
ROOT = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, signed in nowhere, with no variable set."""
    for name in (logins.VARIABLE, logins.KEY_VARIABLE, ROOT, "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sign_in(*servers: str) -> None:
    """Keep a login for each server."""
    for server in servers:
        logins.remember(Login(server, "alice", f"key of {server}", 1))


def meant(server: str | None = None, config: Path | None = None, data: Path | None = None) -> str | None:
    """Return the server that options mean; None for a folder."""
    login = find_login(server, config, data)
    assert is_folder(server, config, data) is (login is None)
    return None if login is None else login.server


def registry(folder: Path) -> Path:
    """Make a folder look as one in which a registry was started."""
    (folder / "entrepot").mkdir(parents=True)
    (folder / "entrepot" / METADATA_NAME).touch()
    return folder


def test_without_a_login_it_is_the_folder() -> None:
    """Nothing is named and nobody signed in."""
    assert meant() is None


def test_without_an_option_it_is_the_server_signed_in_to_last() -> None:
    """Of several logins the latest; one that is renewed is the latest again."""
    sign_in(FIRST, SECOND)
    assert meant() == SECOND
    sign_in(FIRST)
    assert meant() == FIRST
    logins.forget(FIRST)
    assert meant() == SECOND


def test_a_server_that_is_named_outweighs_the_latest_login() -> None:
    """Named as one signed in, or shorter."""
    sign_in(FIRST, SECOND)
    assert meant(FIRST) == FIRST
    assert meant("first.example.org/") == FIRST


@pytest.mark.parametrize("option", ["data", "config"])
def test_a_folder_that_is_named_outweighs_every_login_and_variable(
    option: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typer gives the variable's server as if it was an option."""
    sign_in(FIRST)
    assert meant(**{option: here}) is None
    monkeypatch.setenv(logins.VARIABLE, FIRST)
    assert meant(FIRST, **{option: here}) is None


@pytest.mark.parametrize("variable", [None, FIRST])
def test_a_server_and_a_folder_are_not_named_together(
    variable: str | None, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a variable says about servers: it is not known which one was meant."""
    sign_in(FIRST, SECOND)
    if variable:
        monkeypatch.setenv(logins.VARIABLE, variable)
    with pytest.raises(typer.Exit) as refused:
        find_login(SECOND, None, here)
    said = capsys.readouterr().err
    assert (refused.value.exit_code, said) == (2, "error: name a server or a data folder, not both\n")


@pytest.mark.parametrize("server", [SECOND, ""])
def test_a_server_without_a_login_is_refused(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither another login nor the folder stands in for it, nor for a name that a script left empty."""
    sign_in(FIRST)
    with pytest.raises(typer.Exit) as refused:
        find_login(server, None, None)
    assert refused.value.exit_code == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_key_in_the_environment_stands_in_for_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the server that is named, and for it alone: without one the command means what it meant before."""
    monkeypatch.setenv(logins.KEY_VARIABLE, "reg_x")
    assert meant() is None
    assert find_login(FIRST, None, None) == Login(FIRST, "", "reg_x")
    sign_in(SECOND)
    found = find_login(None, None, None)
    assert found is not None
    assert (found.server, found.key) == (SECOND, f"key of {SECOND}")


def test_variables_of_the_registry_do_not_outweigh_a_login(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They say where the folder is, for when a folder is meant."""
    monkeypatch.setenv(ROOT, str(registry(here / "elsewhere")))
    sign_in(FIRST)
    assert meant() == FIRST


def test_logins_that_others_can_read_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With one line; a folder that is named needs none of them."""
    sign_in(FIRST)
    (here / "home" / "entrepot" / "logins.json").chmod(0o644)
    with pytest.raises(typer.Exit):
        is_folder(None, None, None)
    assert "can be read by others" in capsys.readouterr().err
    assert is_folder(None, None, here)


def test_the_folder_is_that_of_the_option_then_the_variable_then_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for `serve`: the command line outweighs variables, and these the file; without any it is ./data."""
    names = ("data", "option", "variable", "file", "named")
    plain, option, variable, file, named = (registry(here / name) for name in names)
    config, other = here / "config.yml", here / "other.yml"
    for path, root in ((config, file), (other, named)):
        path.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: ':0'}}\n")
    assert located(None, None).data.absolute() == plain
    assert located(config, None).data == file
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", str(other))
    assert located(None, None).data == named
    assert located(config, None).data == file
    monkeypatch.setenv(ROOT, str(variable))
    assert located(None, None).data == variable
    assert located(config, None).data == variable
    assert located(config, option).data == option


def test_a_folder_without_a_registry_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is done."""
    with pytest.raises(typer.Exit) as refused:
        located(None, here / "none")
    assert refused.value.exit_code == 1
    assert f"there is no registry in {here / 'none'} yet" in capsys.readouterr().err
