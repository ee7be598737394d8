"""A new version of the schema: what the tool makes, and what the check says is still owed."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.metadata import schema
from tests.migrations import check
from tools import keep_program, new_schema

ROOT = Path(__file__).resolve().parents[2]


async def test_the_present_schema_owes_nothing() -> None:
    """Whoever makes a new version ends with this."""
    assert await check.problems() == []


def copy(folder: Path) -> Path:
    """Copy what the tool changes."""
    ignored = shutil.ignore_patterns("__pycache__", "programs")
    shutil.copytree(ROOT / "src/entrepot", folder / "src/entrepot", ignore=ignored)
    shutil.copytree(ROOT / "tests/migrations", folder / "tests/migrations", ignore=ignored)
    (folder / "tests/migrations/programs").mkdir()
    return folder


def test_what_is_made_and_what_is_left_to_be_written(tmp_path: Path) -> None:
    """Both halves and the number are there and work; the check names what only a person knows, and is red."""
    tree = copy(tmp_path)
    before = schema.VERSION
    assert new_schema.main("Harbours", tree) == before + 1
    for folder in ("support", "contracts", "http"):
        (tree / "tests" / folder).symlink_to(ROOT / "tests" / folder)
    (tree / "tools").symlink_to(ROOT / "tools")
    environment = {"PYTHONPATH": f"{tree / 'src'}:{tree}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "tests.migrations.check"]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"Schema {before + 1} is half done." in done.stderr
    assert f"programs/ keeps none of schema {before}" in done.stdout
    assert f"migrations/versions/v{before + 1:04}_pre.py changes nothing yet" in done.stdout


def test_a_version_that_is_made_twice_is_listed_once(tmp_path: Path) -> None:
    """The place for what the version before holds is not made again."""
    tree = copy(tmp_path)
    released = tree / new_schema._RELEASED
    new_schema._hold(released, schema.VERSION)
    once = released.read_text()
    new_schema._hold(released, schema.VERSION)
    assert released.read_text() == once
    assert once.count(f"async def version_{schema.VERSION}(") == 1


def test_a_file_without_a_version_is_refused(tmp_path: Path) -> None:
    """Nothing is written."""
    tree = copy(tmp_path)
    (tree / new_schema._SCHEMA).write_text("")
    with pytest.raises(SystemExit, match="does not say its version"):
        new_schema.main("Harbours", tree)
    assert not list((tree / new_schema._VERSIONS).glob(f"v{schema.VERSION + 1:04}*"))


def test_later_programs_are_kept_as_what_differs(tmp_path: Path) -> None:
    """To the byte, in little room; the first one whole."""
    program = random.Random(1).randbytes(200_000)
    first = keep_program.keep(program, 4, tmp_path)
    later = [keep_program.keep(program + b"%d" % number, number, tmp_path) for number in (5, 6)]
    assert first.name == "schema-4.tar.xz"
    assert [file.name for file in later] == ["schema-5.from-4.zst", "schema-6.from-4.zst"]
    assert keep_program.archive_in(first) == program
    assert [keep_program.archive_in(file) for file in later] == [program + b"5", program + b"6"]
    assert all(file.stat().st_size < 1000 for file in later)
