"""Which registry a command means: a folder, a server that is named, the latest login, or what variables say."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from entrepot.cli.management.place import is_folder
from entrepot.cli.place import located
from entrepot.cli.program import logins, saved_context
from entrepot.cli.program.command_line import Given, running
from entrepot.cli.program.logins import Login
from entrepot.cli.program.registry_choice import Meant, Why
from entrepot.cli.program.registry_choice import meant as decided
from entrepot.cli.program.saved_context import Context
from entrepot.metadata.opening import METADATA_NAME

FIRST, SECOND = "https://first.example.org", "https://second.example.org"
SERVER, DATA, CONFIG = "ENTREPOT_SERVER", "ENTREPOT_DATA", "ENTREPOT_CONFIG"
ROOT = "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, signed in nowhere, with no variable set."""
    for name in (SERVER, DATA, CONFIG, logins.KEY_VARIABLE, ROOT, "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sign_in(*servers: str) -> None:
    """Keep a login for each server."""
    for server in servers:
        logins.remember(Login(server, "alice", f"key of {server}", 1))


def options(server: str | None = None, config: Path | None = None, data: Path | None = None) -> Meant:
    """Return what is meant where the command line says this."""
    with running(Given(server=server, config=config, data=data)):
        found = decided()
        assert is_folder() is (found.login is None)
        return found


def meant(server: str | None = None, config: Path | None = None, data: Path | None = None) -> str | None:
    """Return the server that options mean; None for a folder."""
    login = options(server, config, data).login
    return None if login is None else login.server


def folder(config: Path | None = None, data: Path | None = None) -> Path:
    """Return the data folder that options mean."""
    with running(Given(config=config, data=data)):
        return located().data


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
    """Also the variable that names a server."""
    sign_in(FIRST)
    assert meant(**{option: here}) is None
    monkeypatch.setenv(SERVER, FIRST)
    assert meant(**{option: here}) is None


@pytest.mark.parametrize("variable", [None, FIRST])
def test_a_server_and_a_folder_are_not_named_together(
    variable: str | None, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a variable says about servers: it is not known which one was meant."""
    sign_in(FIRST, SECOND)
    if variable:
        monkeypatch.setenv(SERVER, variable)
    with pytest.raises(typer.Exit) as refused:
        options(SECOND, data=here)
    said = capsys.readouterr().err
    assert (refused.value.exit_code, said) == (2, "error: name a server or a data folder, not both\n")


@pytest.mark.parametrize("server", [SECOND, ""])
def test_a_server_without_a_login_is_refused(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither another login nor the folder stands in for it, nor for a name that a script left empty."""
    sign_in(FIRST)
    with pytest.raises(typer.Exit) as refused:
        options(server)
    assert refused.value.exit_code == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_key_in_the_environment_stands_in_for_a_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the server that is named, and for it alone: without one the command means what it meant before."""
    monkeypatch.setenv(logins.KEY_VARIABLE, "reg_x")
    assert meant() is None
    assert options(FIRST).login == Login(FIRST, "", "reg_x")
    sign_in(SECOND)
    found = options().login
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
        options()
    assert "can be read by others" in capsys.readouterr().err
    assert meant(data=here) is None


def test_the_folder_is_that_of_the_option_then_the_variable_then_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for `serve`: the command line outweighs variables, and these the file; without any it is ./data."""
    names = ("data", "option", "variable", "file", "named")
    plain, option, variable, file, named = (registry(here / name) for name in names)
    config, other = here / "config.yml", here / "other.yml"
    for path, root in ((config, file), (other, named)):
        path.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: ':0'}}\n")
    assert folder().absolute() == plain
    assert folder(config) == file
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", str(other))
    assert folder() == named
    assert folder(config) == file
    monkeypatch.setenv(ROOT, str(variable))
    assert folder() == variable
    assert folder(config) == variable
    assert folder(config, option) == option


def test_a_folder_without_a_registry_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is done."""
    with pytest.raises(typer.Exit) as refused:
        folder(data=here / "none")
    assert refused.value.exit_code == 1
    assert f"there is no registry in {here / 'none'} yet" in capsys.readouterr().err


def test_the_variables_name_a_folder_or_its_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ENTREPOT_CONFIG` counts more than its other name; a file that is named does not meet a folder from elsewhere."""
    first, second, third = (registry(here / name) for name in ("first", "second", "third"))
    config, other = here / "config.yml", here / "other.yml"
    for path, root in ((config, first), (other, second)):
        path.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: ':0'}}\n")
    sign_in(FIRST)
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", str(other))
    assert (meant(), folder()) == (None, second)
    monkeypatch.setenv(CONFIG, str(config))
    assert folder() == first
    monkeypatch.setenv(DATA, str(third))
    assert folder() == third
    assert folder(other) == second
    assert options().why is Why.VARIABLE


def test_variables_for_a_server_and_a_folder_are_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known which one is meant."""
    sign_in(FIRST)
    monkeypatch.setenv(SERVER, FIRST)
    monkeypatch.setenv(DATA, str(here))
    with pytest.raises(typer.Exit) as refused:
        options()
    assert refused.value.exit_code == 2


def test_a_context_that_was_chosen_outweighs_the_latest_login(here: Path) -> None:
    """A server or a folder; forgotten, the latest login counts again."""
    sign_in(FIRST, SECOND)
    saved_context.save(Context(server=FIRST))
    assert (meant(), options().why) == (FIRST, Why.SAVED)
    saved_context.save(Context(data=str(registry(here / "chosen"))))
    assert (meant(), folder()) == (None, here / "chosen")
    assert meant(SECOND) == SECOND
    saved_context.clear()
    assert meant() == SECOND


def test_a_command_for_a_folder_refuses_a_server(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not fall back to a folder that happens to lie here."""
    registry(here / "data")
    sign_in(FIRST)
    with pytest.raises(typer.Exit):
        folder()
    said = capsys.readouterr().err
    assert FIRST in said
    assert "--data DIR" in said
