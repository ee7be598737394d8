"""The shell completes commands, options and their values, once `entrepot --show-completion` was read by it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "entrepot"
PRESSED = """
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_entrepot_completion entrepot
echo "${{COMPREPLY[*]}}"
"""
#: What somebody typed before they pressed the tabulator key, and what is offered then.
OFFERED = {
    "entrepot us": "user usage",
    "entrepot access ''": "give list take explain",
    "entrepot user create x --real": "--realname",
    "entrepot member add team alice --role dev": "developer",
    "entrepot serve --wor": "--workers",
}


def test_bash_completes() -> None:
    """Commands, their options, and words from a list."""
    environ = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    script = 'eval "$(entrepot --show-completion)"' + "".join(PRESSED.format(words=words) for words in OFFERED)
    done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True, timeout=120)
    assert dict(zip(OFFERED, done.stdout.splitlines(), strict=True)) == OFFERED


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered(shell: str) -> None:
    """Their scripts ask the program, which offers the same."""
    environ = {**os.environ, "_ENTREPOT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "entrepot us"}
    environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    done = subprocess.run([PROGRAM], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert "user" in done.stdout
