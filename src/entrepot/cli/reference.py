"""Writes docs/reference/commands.md from the commands themselves: `python -m entrepot.cli.reference`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from typer import Context
from typer.main import get_command

from entrepot.cli.app import app
from entrepot.cli.program.classes import Command, placeholder
from entrepot.cli.serve import parser

_HEAD = """# Commands

<!-- Made by `python -m entrepot.cli.reference`; a test holds it against the source. Do not edit by hand. -->

`entrepot` lies in `.venv/bin` of a clone, and on the path of the container image. Every command has `--help`.

Which registry a command means is said before or after any word of it: `--server URL`, `--data DIR` or `--config FILE`.
A command means the first of these that there is:

1. the folder of `--data` or `--config`, as `serve` was given them, or the server of `--server`; not both;
2. the variables `ENTREPOT_SERVER`, or `ENTREPOT_DATA` and `ENTREPOT_CONFIG` (of which `REGISTRY_CONFIGURATION_PATH` is
   another name);
3. the saved context: `entrepot login` saves a server, `entrepot context use` a server or a folder;
4. the folder that variables `REGISTRY_*` name, or `./data`.

A command tells which one it was, unless its own options say so. On the saved context a command that takes something
away asks first; `--yes` answers it. The key of `ENTREPOT_KEY` is used for a server that is named, in place of a login.
Commands work on a folder beside a running server and without one. Some work on a folder only, and say so.
`ENTREPOT_DEBUG=1` shows the log of a command, and where it failed.

| Exit code | Meaning |
|---|---|
| 0 | done; nothing to complain about |
| 1 | not done, or something was found; the reason is on standard error |
| 2 | the arguments are wrong |
| 130 | stopped with Ctrl-C |
"""

#: What a person meets first, first.
_SERVE = "serve"


def page() -> str:
    """Render the page."""
    parts = [_HEAD, _serve()]
    parts += [_section(name, command) for name, command in _commands(get_command(app), "entrepot")]
    return "\n".join(parts)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Command]]:
    """List the commands that do something, with their full names; `serve` has a section of its own."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, found in inner.items():
        if word != _SERVE:
            yield from _commands(found, f"{name} {word}")


def _section(name: str, command: Command) -> str:
    own = [each for each in command.own(Context(command, info_name=name)) if "--help" not in each.opts]
    rows = [_row(parameter) for parameter in own]
    words = [name, *(placeholder(parameter) for parameter in own if _is_argument(parameter))]
    return _render(" ".join(words), command.help or "", rows)


def _is_argument(parameter: object) -> bool:
    return getattr(parameter, "param_type_name", "") == "argument"


def _row(parameter: object) -> tuple[str, str]:
    """Give name and meaning of an argument or option."""
    meaning = str(getattr(parameter, "help", None) or "")
    if _is_argument(parameter):
        return f"`{placeholder(parameter)}`", meaning
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
