"""Writes docs/reference/commands.md from the commands themselves: `python -m entrepot.cli.reference`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from typer.main import get_command

from entrepot.cli.app import app
from entrepot.cli.serve import parser

_HEAD = """# Commands

<!-- Made by `python -m entrepot.cli.reference`; a test holds it against the source. Do not edit by hand. -->

`entrepot` lies in `.venv/bin` of a clone, and on the path of the container image. Every command has `--help`.

Commands that change a registry work beside a running server and without one. `--data` and `--config` tell them which
registry is meant: give what `serve` was given. Variables `REGISTRY_*` count for them as they do for `serve`.

Commands that have `--server`, too, mean the first of these that there is: the folder of `--data` or `--config`; the
server of `--server`, or of the variable `ENTREPOT_SERVER`; the server signed in to last; the folder that variables
`REGISTRY_*` name, or `./data`. `--server` and a folder together are refused. The key of `ENTREPOT_KEY` is used for a
server that is named, in place of a login.

| Exit code | Meaning |
|---|---|
| 0 | done; nothing to complain about |
| 1 | not done, or something was found; the reason is on standard error |
| 2 | the arguments are wrong |
| 130 | stopped with Ctrl-C |
"""

#: What a person meets first, first.
_SERVE = "serve"


class Command(Protocol):
    """What typer makes of a function; its own class has no public name."""

    @property
    def help(self) -> str | None:
        """The text for people."""
        ...

    @property
    def params(self) -> Sequence[object]:
        """Arguments and options."""
        ...


def page() -> str:
    """Render the page."""
    parts = [_HEAD, _serve()]
    parts += [_section(name, command) for name, command in _commands(get_command(app), "entrepot")]
    return "\n".join(parts)


def _commands(command: Command, name: str) -> Iterator[tuple[str, Command]]:
    """List the commands that do something, with their full names; `serve` has a section of its own."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, found in inner.items():
        if word != _SERVE:
            yield from _commands(found, f"{name} {word}")


def _section(name: str, command: Command) -> str:
    rows = [_row(parameter) for parameter in command.params]
    words = [name, *(_placeholder(parameter) for parameter in command.params if _is_argument(parameter))]
    return _render(" ".join(words), command.help or "", rows)


def _is_argument(parameter: object) -> bool:
    return getattr(parameter, "param_type_name", "") == "argument"


def _placeholder(argument: object) -> str:
    metavar = str(getattr(argument, "metavar", None) or getattr(argument, "name", "")).upper()
    return metavar if getattr(argument, "required", True) else f"[{metavar}]"


def _row(parameter: object) -> tuple[str, str]:
    """Give name and meaning of an argument or option."""
    meaning = str(getattr(parameter, "help", None) or "")
    if _is_argument(parameter):
        return f"`{_placeholder(parameter)}`", meaning
    names = [*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ())]
    value = "" if getattr(parameter, "is_flag", False) else f" {_value(parameter)}"
    return ", ".join(f"`{name}{value}`" for name in names), meaning


def _value(option: object) -> str:
    return str(getattr(option, "metavar", None) or getattr(option, "name", "")).upper()


def _serve() -> str:
    described = parser()
    rows = []
    for action in described._actions:  # noqa: SLF001 - argparse has no public list of them
        if not isinstance(action, argparse._HelpAction):  # noqa: SLF001 - as above
            names = action.option_strings or [f"[{action.metavar}]"]
            value = f" {action.metavar}" if action.option_strings else ""
            rows.append((", ".join(f"`{name}{value}`" for name in names), action.help or ""))
    return _render("entrepot serve [CONFIG]", described.description or "", rows)


def _render(usage: str, text: str, rows: list[tuple[str, str]]) -> str:
    table = "".join(f"| {name} | {meaning.replace('|', chr(92) + '|')} |\n" for name, meaning in rows)
    head = "\n| Argument or option | Meaning |\n|---|---|\n" if rows else ""
    return f"## `{usage}`\n\n{' '.join(text.split())}\n{head}{table}"


if __name__ == "__main__":
    sys.stdout.write(page())
