"""A folder that cannot be used is refused before anything in it is touched, with what to do about it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from entrepot.adoption.rights import FolderNotUsable, _folders, require_rights
from entrepot.registry import layout
from tests.support.mounts import small_disk


def test_a_folder_of_ours_is_usable(tmp_path: Path) -> None:
    """Nothing is left behind by the question."""
    (tmp_path / layout.BLOBS / "sha256").mkdir(parents=True)
    require_rights(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_system_that_is_mounted_read_only_is_named_as_such(tmp_path: Path) -> None:
    """No owner and no mode helps there: so no chown is advised."""
    disk = tmp_path / "disk"
    with small_disk(disk, "size=1m"):
        (disk / "data" / layout.OWN).mkdir(parents=True)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(FolderNotUsable, match="mounted read-only") as refused:
            require_rights(disk / "data")
        assert "chown" not in str(refused.value)


def test_blobs_on_another_device_are_refused_with_the_way_out(tmp_path: Path) -> None:
    """A start would look well and every push fail; the advice that is given works."""
    blobs = tmp_path / layout.BLOBS
    blobs.parent.mkdir(parents=True)
    with small_disk(blobs, "size=1m"):
        with pytest.raises(FolderNotUsable, match="another device"):
            require_rights(tmp_path)
        (blobs / "uploads").mkdir()
        (tmp_path / "entrepot").mkdir()
        (tmp_path / layout.UPLOADS).symlink_to(blobs / "uploads")
        require_rights(tmp_path)


def test_blobs_on_another_mount_of_the_same_device_are_refused(tmp_path: Path) -> None:
    """A bind mount has the same device number, and yet no file can be moved into it."""
    elsewhere, blobs = tmp_path / "elsewhere", tmp_path / "root" / layout.BLOBS
    for folder in (elsewhere, blobs):
        folder.mkdir(parents=True)
    subprocess.run(["mount", "--bind", elsewhere, blobs], check=True)
    try:
        with pytest.raises(FolderNotUsable, match="another mount"):
            require_rights(tmp_path / "root")
    finally:
        subprocess.run(["umount", blobs], check=True)


def test_folders_that_go_while_they_are_looked_at_are_nobodys(tmp_path: Path) -> None:
    """A server beside us collects: a command that begins then neither fails nor blames somebody."""
    for number in range(8):
        (tmp_path / layout.BLOBS / "sha256" / f"{number:02}" / "x").mkdir(parents=True)
    walk = _folders(tmp_path)
    next(walk)
    shutil.rmtree(tmp_path / layout.BLOBS / "sha256")
    assert list(walk) == []
    require_rights(tmp_path)
