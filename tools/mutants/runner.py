"""Runs tests on changed code, each time in a fork of this process, which has imported what is not ours."""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from tools.mutants.areas import ROOT
from tools.mutants.covering import SELECTION

#: Imported once, before the forks: they take most of the time that a short run of pytest does.
_PRELOADED: Final = (
    "pytest", "pytest_asyncio", "xdist", "hypothesis", "sqlalchemy", "alembic", "asyncpg", "pydantic", "fastapi",
    "aiohttp", "cryptography", "joserfc.jwt", "fido2.server", "limits", "re2", "yaml", "uvloop", "argon2", "bcrypt",
)  # fmt: skip
#: The exit code of a run that could not be made: the change broke the module.
_BROKEN: Final = 70


class Outcome(Enum):
    """What became of a change."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMEOUT = "timeout"  #: killed, too: it made something wait for ever


class Run:
    """One run of tests on one changed module."""

    def __init__(self, path: Path, source: str, tests: Sequence[str], seconds: float) -> None:
        """Begin it: the tests stop at the first that fails, and all of them after so many seconds."""
        self._until = time.monotonic() + seconds
        self._pid = os.fork()
        if self._pid == 0:
            os.setsid()
            try:
                _test(path, source, tests)
            finally:
                os._exit(_BROKEN)

    def outcome(self) -> Outcome | None:
        """Return what came of it; None while it runs."""
        ended, status = os.waitpid(self._pid, os.WNOHANG)
        if ended:
            return Outcome.SURVIVED if os.waitstatus_to_exitcode(status) == 0 else Outcome.KILLED
        if time.monotonic() < self._until:
            return None
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        return Outcome.TIMEOUT


def preload() -> None:
    """Import what every run needs and no change is made to."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in _PRELOADED:
        importlib.import_module(name)


def _test(path: Path, source: str, tests: Sequence[str]) -> None:
    """Run the tests in this process, and end it with pytest's exit code."""
    import pytest  # noqa: PLC0415 - it was imported before the fork

    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.meta_path.insert(0, _Changed(path, source))
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        os.chmod(folder, 0o1777)  # noqa: PTH101, S103 - as the folder that it stands for
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        code = pytest.main([*SELECTION, "-x", "--no-header", "-W", "ignore", *tests])
        sys.stdout.flush()
    os._exit(int(code))


class _Changed(importlib.abc.MetaPathFinder):
    """Finds the changed module in place of the one in the file."""

    def __init__(self, path: Path, source: str) -> None:
        self._name = ".".join(path.relative_to("src").with_suffix("").parts)
        self._path = ROOT / path
        self._code = compile(source, str(self._path), "exec")

    def find_spec(
        self, name: str, _path: object = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(
            name, self._path, loader=_Loader(name, str(self._path), self._code)
        )


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads code that was changed."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._changed = code

    def get_code(self, _fullname: str) -> CodeType:
        return self._changed
