"""The `entrepot` command.

`serve` is told apart before anything heavy is imported, so that a registry is ready within a second; everything else
goes to the typer application in `entrepot.cli.app`.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command that the arguments name."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"]:
        from entrepot.cli.serve import serve_command  # noqa: PLC0415 - keeps typer out of the registry's start

        sys.exit(serve_command(arguments[1:]))
    gc.disable()  # as in `entrepot.serving.entry`: what is imported stays, so looking for garbage in it is in vain
    from entrepot.cli.app import app  # noqa: PLC0415 - as above

    gc.freeze()
    gc.enable()
    app(prog_name="entrepot")
