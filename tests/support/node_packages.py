"""Packages of Node that tests run, installed from a lock file beside them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.tools import ROOT, find_tool


def node_modules(source: Path) -> Path:
    """Give the folder of the packages that `source` lists, installed once for each list and working copy."""
    lock = source / "package-lock.json"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    kept = ROOT / "build" / "test-node" / wanted
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / "lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not kept.exists():
            _install(source, kept)
    return kept / "node_modules"


def _install(source: Path, kept: Path) -> None:
    making = Path(tempfile.mkdtemp(dir=kept.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, making)
        command = [str(find_tool("npm")), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=making, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            pytest.fail(f"the packages of {source.name} cannot be installed:\n{done.stdout}{done.stderr}")
        os.chmod(making, 0o755)  # noqa: PTH101 - mkdtemp made it for us alone
        making.rename(kept)
    finally:
        shutil.rmtree(making, ignore_errors=True)
