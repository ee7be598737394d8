"""Finding the programs that tests drive, by the same lists that `make test` installs from."""

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Debian keeps servers in sbin folders, which an ordinary user's PATH lacks.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def find_tool(command: str) -> Path:
    """Find a program, or fail the running test with what to install."""
    found = shutil.which(command, path=SEARCH_PATH)
    if found is None:
        package = _packages().get(command, command)
        pytest.fail(
            f"{command} is missing on this machine: install the Debian package {package} (`make test` as root does)"
        )
    return Path(found)


@cache
def _packages() -> dict[str, str]:
    """Read which package brings which command."""
    return {
        words[0]: words[1]
        for list_ in sorted((ROOT / "tools" / "packages").iterdir())
        for line in list_.read_text(encoding="utf-8").splitlines()
        if len(words := line.split()) == 2 and not line.startswith("#")
    }
