"""Network file systems are refused by what statfs says, local ones are taken."""

from pathlib import Path

import pytest

from entrepot.metadata.engine import filesystems
from entrepot.metadata.engine.filesystems import require_local
from entrepot.metadata.errors import UnsafeFileSystem


@pytest.mark.parametrize("folder", ["/", "/dev/shm", "/proc"])
def test_local_file_systems_are_taken(folder: str) -> None:
    """Disks and memory are fine."""
    require_local(Path(folder))


def test_the_kind_of_a_file_system_is_read_from_the_kernel() -> None:
    """The number is statfs(2)'s own: proc and tmpfs have known ones."""
    assert filesystems._type_of(Path("/proc")) == 0x9FA0
    assert filesystems._type_of(Path("/dev/shm")) == 0x01021994


@pytest.mark.parametrize(
    ("number", "name"),
    [(0x6969, "NFS"), (0xFE534D42, "SMB"), (0xFF534D42, "CIFS"), (0x01021997, "9P"), (0x00C36400, "CephFS")],
)
def test_network_file_systems_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    """The message names the file system, the folder and both ways out."""
    monkeypatch.setattr(filesystems, "_type_of", lambda folder: number)
    with pytest.raises(UnsafeFileSystem) as refused:
        require_local(tmp_path)
    for part in (name, str(tmp_path), "disk of this host", "PostgreSQL"):
        assert part in str(refused.value)


@pytest.mark.parametrize("program", ["sshfs", "s3fs", "glusterfs", "rclone"])
def test_remote_fuse_mounts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """FUSE is judged by the program behind the mount."""
    monkeypatch.setattr(filesystems, "_type_of", lambda folder: 0x65735546)
    monkeypatch.setattr(filesystems, "_fuse_program", lambda folder: program)
    with pytest.raises(UnsafeFileSystem, match=program):
        require_local(tmp_path)


@pytest.mark.parametrize("program", ["fuse-overlayfs", "gocryptfs", "shfs", ""])
def test_local_fuse_mounts_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Overlays, encryption and unknown programs on this host are no network file systems."""
    monkeypatch.setattr(filesystems, "_type_of", lambda folder: 0x65735546)
    monkeypatch.setattr(filesystems, "_fuse_program", lambda folder: program)
    require_local(tmp_path)


def test_the_mount_of_a_folder_is_found_in_mountinfo(tmp_path: Path) -> None:
    """The table of mounts can be read for any folder; a plain disk has no program behind it."""
    assert filesystems._fuse_program(tmp_path) == ""


def test_a_missing_folder_is_no_proof(tmp_path: Path) -> None:
    """What cannot be asked is refused, with the reason."""
    with pytest.raises(UnsafeFileSystem, match="No such file"):
        require_local(tmp_path / "nowhere")
