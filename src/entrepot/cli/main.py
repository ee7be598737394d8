"""The `entrepot` command.

`serve` is told apart before anything heavy is imported, so that a registry is ready within a second; everything else
goes to the typer application in `entrepot.cli.app`, under `_for_a_person`.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import Final

DEBUG: Final = "ENTREPOT_DEBUG"


def main() -> None:
    """Run the command that the arguments name."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"]:
        from entrepot.cli.serve import serve_command

        sys.exit(serve_command(arguments[1:]))
    gc.disable()  # as in `entrepot.serving.entry`: what is imported stays, so looking for garbage in it is in vain
    from typer.main import get_command

    from entrepot.cli.app import app

    gc.freeze()
    gc.enable()
    _for_a_person(lambda: get_command(app)(prog_name="entrepot"))


def _for_a_person(command: Callable[[], object]) -> None:
    """Run a command so that nothing reaches the terminal that a program would say to its developers."""
    import logging

    if os.environ.get(DEBUG):
        logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
        command()
        return
    logging.basicConfig(handlers=[logging.NullHandler()])
    try:
        command()
    except Exception as error:  # noqa: BLE001 - the last edge
        reason = str(error).partition("\n")[0] or type(error).__name__
        print(f"error: {reason}", file=sys.stderr)  # noqa: T201 - meant for the person at the terminal
        if not isinstance(error, OSError):
            print(f"This is a fault of entrepot's own; {DEBUG}=1 shows where it is.", file=sys.stderr)  # noqa: T201
        sys.exit(1)
