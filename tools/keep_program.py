"""Keeps the program of a released version for the tests of upgrades: `python -m tools.keep_program REVISION`.

The file holds the package as Git has it at that revision, and is named after its schema. Tests run it beside the
present program, in any clone, however shallow. So one is kept of the version before, at least.
"""

import io
import lzma
import re
import subprocess
import sys
import tarfile
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[1] / "tests" / "migrations" / "programs"
_PACKAGE = "src/entrepot"
_VERSION = re.compile(r"^VERSION.* = (\d+)$", re.MULTILINE)


def main(revision: str) -> Path:
    """Write the file, and say where it is; the same revision gives the same bytes.

    Raises:
        SystemExit: There is no such revision, or it has no schema.
    """
    done = subprocess.run(["git", "archive", f"{revision}^{{commit}}", _PACKAGE], capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())
    target = PROGRAMS / f"schema-{_schema_of(done.stdout)}.tar.xz"
    target.write_bytes(lzma.compress(done.stdout, preset=9 | lzma.PRESET_EXTREME))
    return target


def _schema_of(archive: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        source = files.extractfile(f"{_PACKAGE}/metadata/schema.py")
        found = _VERSION.search(source.read().decode()) if source else None
    if found is None:
        raise SystemExit("the program of that revision has no schema")
    return found[1]


if __name__ == "__main__":
    print(main(sys.argv[1]))
