"""What all commands share: options before and after any word, questions, hints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from entrepot.cli import reference
from entrepot.cli.app import app
from entrepot.cli.program.classes import Noun, destructive
from entrepot.cli.program.command_line import given, hinted
from entrepot.metadata.opening import METADATA_NAME
from tests.support.commands import Run, runner

#: Modules that cost a start more than everything else in it. Pydantic reads the arguments for typer.
HEAVY = ("aiohttp", "alembic", "argon2", "cryptography", "fastapi", "granian", "rich", "sqlalchemy", "yaml")


@pytest.fixture
def entrepot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a function that runs a command in an empty folder, with a home of its own."""
    for name in ("ENTREPOT_SERVER", "ENTREPOT_DATA", "ENTREPOT_CONFIG", "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return runner(tmp_path / "home")


def words() -> list[tuple[str, ...]]:
    """List the words of all commands."""

    def below(command: object, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        return [path] if inner is None else [each for name in inner for each in below(inner[name], (*path, name))]

    return below(get_command(app), ())


@pytest.mark.parametrize("command", words(), ids=" ".join)
def test_every_command_takes_the_place_and_shows_help(command: tuple[str, ...], entrepot: Run) -> None:
    """Before the first word, between and behind, and its help fits 80 columns."""
    for at in range(len(command) + 1):
        shown = entrepot(*command[:at], "--data", "x", *command[at:], "--help").stdout
        assert shown
    assert max(map(len, shown.splitlines())) <= 80


def test_every_argument_and_option_says_what_it_is() -> None:
    """None stands in the help, or in the reference, with a name alone."""
    unsaid = [
        f"{name} {parameter.name}"
        for name, command in reference._commands(get_command(app), "entrepot")
        for parameter in command.own(typer.Context(command, info_name=name))
        if not getattr(parameter, "help", None)
    ]
    assert unsaid == []


def test_a_folder_is_named_before_or_behind(entrepot: Run) -> None:
    """The word nearest to the command counts."""
    for arguments in (
        ("--data", "there", "project", "list"),
        ("project", "--data", "there", "list"),
        ("project", "list", "--data", "there"),
        ("--data", "elsewhere", "project", "list", "--data", "there"),
    ):
        assert "there yet" in entrepot(*arguments, status=1).stderr.replace("\n", " ")
    assert "not both" in entrepot("--data", "there", "project", "list", "--server", "x", status=2).stderr


@pytest.mark.parametrize(
    "command",
    [
        ("gc",),
        ("doctor",),
        ("readonly", "status"),
        ("db", "check"),
        ("db", "upgrade"),
        ("audit", "verify"),
        ("secrets", "rotate"),
        ("backup", "create", "backups"),
        ("garbage-collect",),
        ("admin", "password", "--generate"),
        ("user", "import-htpasswd", "file"),
        ("directory", "test"),
    ],
    ids=" ".join,
)
def test_no_command_passes_over_the_saved_context(command: tuple[str, ...], entrepot: Run, tmp_path: Path) -> None:
    """Where a folder is saved it is that one, whatever lies in ./data."""
    (tmp_path / "data" / "entrepot").mkdir(parents=True)
    (tmp_path / "data" / "entrepot" / METADATA_NAME).touch()
    entrepot("context", "use", "--data", str(tmp_path / "saved"))
    done = entrepot(*command, status=1)
    assert str(tmp_path / "saved") in done.stderr.replace("\n", " ")


def test_the_context_is_shown_and_cleared(entrepot: Run, tmp_path: Path) -> None:
    """Saved once by its options, named with what says so, and forgotten."""
    assert "name it" in entrepot("context", "use", status=2).stderr
    entrepot("context", "use", "--data", "here")
    assert entrepot("context", "show").stdout == f"{tmp_path / 'here'} (the saved context)\n"
    assert entrepot("context", "list").stdout == f"* {tmp_path / 'here'}\n"
    entrepot("context", "clear")
    assert "nothing was named" in entrepot("context", "show").stdout


@pytest.fixture
def removing(entrepot: Run) -> typer.Typer:
    """Give a program with one command that takes something away, and one that says where to look."""
    made = Noun()

    @made.command("remove")
    @destructive()
    def remove(*, dry_run: bool = False) -> None:
        typer.echo("removed" if not dry_run else "would be removed")

    @made.command("hint")
    def hint() -> None:
        assert given().is_named
        typer.echo(hinted("See entrepot job show 5."))

    return made


def test_what_takes_something_away_asks_on_the_saved_context(
    removing: typer.Typer, entrepot: Run, tmp_path: Path
) -> None:
    """It names the registry; a yes, `--yes`, a dry run or a registry that is named in the command let it go on."""
    run = runner(tmp_path / "home", removing)
    assert run("remove").stdout == "removed\n"
    entrepot("context", "use", "--data", "here")
    refused = run("remove", stdin="n\n", status=1)
    assert str(tmp_path / "here") in refused.stderr
    assert "removed" not in refused.stdout
    assert "--yes" in run("remove", status=1).stderr
    assert run("remove", stdin="y\n").stdout.endswith("removed\n")
    for arguments in (("--yes",), ("-y",), ("--data", "other")):
        assert run("remove", *arguments).output == "removed\n"
    assert run("remove", "--dry-run").output == "would be removed\n"


def test_hints_keep_the_place(removing: typer.Typer, tmp_path: Path) -> None:
    """A hint can be typed as it stands."""
    run = runner(tmp_path / "home", removing)
    assert run("hint", "--data", "a b").stdout == "See entrepot --data 'a b' job show 5.\n"


def test_help_imports_nothing_heavy() -> None:
    """Neither that of the program nor that of any command; each pays for what it uses when it runs."""
    script = f"""
import sys
from typer.main import get_command
from entrepot.cli.app import app
from typer.testing import CliRunner
def heavy(): return sorted(set({HEAVY!r}) & set(sys.modules))
for words in {[*words(), ()]!r}:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, (words, done.output)
    assert not heavy(), (words, heavy())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
