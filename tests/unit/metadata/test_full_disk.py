"""The databases on a disk without space: a small file system in memory, in a mount namespace of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.metadata.engine.ballast import Ballast, Reserve

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("mebibytes", [16, 40])
def test_a_full_disk_loses_nothing_and_recovers(tmp_path: Path, mebibytes: int) -> None:
    """A full disk refuses the write that does not fit, serves reads, takes deletes, and works again with space."""
    seen = on_small_disk(tmp_path, mebibytes, "database")
    assert seen["ballast before"] is True
    assert seen["ballast when full"] is False
    assert int(seen["written"]) > 10
    assert seen["rows"] == int(seen["written"]) + 1
    assert seen["first"] == "kept"
    assert seen["rows after deleting"] == 1
    assert seen["rows after restart"] == 2


def test_rows_can_be_deleted_on_a_disk_that_others_filled(tmp_path: Path) -> None:
    """Without a byte free, the ballast goes and deletes work, also after a restart."""
    seen = on_small_disk(tmp_path, 40, "others")
    assert seen == {"ballast before": True, "ballast when full": False, "rows after deleting": 0}


def test_the_last_of_the_space_is_for_what_frees_some(tmp_path: Path) -> None:
    """The ballast serves small rows, the reserve deletions and the rows of jobs; bodies wait until both are back."""
    assert on_small_disk(tmp_path, 64, "reserve") == {
        "small rows": True,
        "ballast": False,
        "rows of jobs": False,
        "reserve kept": True,
        "reserve when deleting": False,
        "small rows at the end": False,
        "rows of jobs at the end": True,
        "room for a body": False,
        "put aside again": True,
        "room for a body again": True,
    }


def test_a_file_system_that_names_no_size_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the network say that they have no blocks at all; nothing is refused or put aside there."""
    monkeypatch.setattr(Ballast, "_space", lambda _: (0, 0))
    ballast = Ballast(tmp_path)
    assert ballast.has_room(1 << 30)
    assert not ballast.admit(Reserve.KEPT)
    assert list(tmp_path.iterdir()) == []


def test_a_ballast_that_cannot_be_removed_fails_no_write(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and the write is tried with what space there is."""
    (tmp_path / "ballast").mkdir()
    ballast = Ballast(tmp_path)
    assert [ballast.release(), ballast.release()] == [False, False]
    assert len(caplog.records) == 1
    (tmp_path / "ballast").rmdir()


def on_small_disk(folder: Path, mebibytes: int, story: str) -> dict[str, object]:
    """Play a story of `tests/support/full_disk.py` on a file system of a few mebibytes and return what it has seen."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    program = f'mount -t tmpfs -o size={mebibytes}m none "$1" && exec "$2" -m tests.support.full_disk {story} "$1"'
    command = ["unshare", *user, "--mount", "--propagation", "private", "sh", "-c", program, "sh", str(folder)]
    done = subprocess.run(
        [*command, sys.executable], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
