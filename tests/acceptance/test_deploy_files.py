"""The files in `deploy/` that the container test does not run are at least what their readers accept."""

import subprocess
from collections.abc import Callable
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program and give its result with everything it said."""
    return subprocess.run(
        [str(word) for word in command], text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_systemd_accepts_the_unit(tool: Callable[[str], Path], tmp_path: Path) -> None:
    """systemd finds nothing to complain about in the unit, its program being there."""
    unit = (DEPLOY / "entrepot.service").read_text(encoding="utf-8")
    program = tmp_path / "entrepot"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    installed = tmp_path / "entrepot.service"
    installed.write_text(unit.replace("/opt/entrepot/.venv/bin/entrepot", str(program)), encoding="utf-8")
    seen = run(tool("systemd-analyze"), "verify", "--man=no", installed)
    assert (seen.returncode, seen.stdout) == (0, "")


def test_the_unit_leaves_little_to_take(tool: Callable[[str], Path]) -> None:
    """systemd rates what an intruder could reach from the service as small (at most 1.5 of 10)."""
    seen = run(
        tool("systemd-analyze"),
        "security",
        "--offline=true",
        "--threshold=15",
        "--no-pager",
        DEPLOY / "entrepot.service",
    )
    assert seen.returncode == 0, seen.stdout


def test_compose_accepts_the_file(tool: Callable[[str], Path]) -> None:
    """Docker Compose reads the compose file and sees the service as it is meant."""
    seen = run(tool("docker-compose"), "--file", DEPLOY / "compose.yaml", "config")
    assert seen.returncode == 0, seen.stdout
    assert "target: /var/lib/registry" in seen.stdout
    assert "read_only: true" in seen.stdout
