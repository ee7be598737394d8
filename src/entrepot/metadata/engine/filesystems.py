"""Refuses file systems on which SQLite's write-ahead log is not safe.

The log needs locks and shared memory that all processes see alike. Network file systems promise neither, and lose
data silently, so the folder is looked at before a database is opened in it.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

from entrepot.metadata.errors import UnsafeFileSystem

_FUSE: Final = 0x65735546
#: `f_type` of statfs(2) for file systems that several hosts may have mounted.
_SHARED: Final = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x01021997: "9P",
    0x00C36400: "CephFS",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x564C: "NCP",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x013111A8: "IBRIX",
    0xAAD7AAEA: "PanFS",
    0x013661: "VxFS cluster",
    0xBACBACBC: "VMware shared folder",
    0x786F4256: "VirtualBox shared folder",
}
#: Programs behind FUSE mounts that keep their files on other machines. Others (overlays, encryption) are local.
_REMOTE_FUSE: Final = frozenset(
    {
        "blobfuse",
        "blobfuse2",
        "ceph",
        "ceph-fuse",
        "curlftpfs",
        "davfs",
        "davfs2",
        "gcsfuse",
        "geesefs",
        "glusterfs",
        "goofys",
        "JuiceFS",
        "juicefs",
        "mfs",
        "moosefs",
        "mount-s3",
        "mountpoint-s3",
        "rclone",
        "s3fs",
        "s3ql",
        "seaweedfs",
        "smbnetfs",
        "sshfs",
    }
)
_WAY_OUT: Final = (
    "Keep the database on a disk of this host (`--data`, or the storage root on a local disk or block volume), "
    "or use PostgreSQL for the metadata."
)


def require_local(folder: Path) -> None:
    """Refuse a folder on a network or cluster file system.

    Raises:
        UnsafeFileSystem: With the file system's name and the way out.
    """
    kind = _SHARED.get(_type_of(folder)) or _remote_fuse(folder)
    if kind is not None:
        raise UnsafeFileSystem(f"{folder} is on {kind}, where SQLite would lose data. {_WAY_OUT}")


def may_wait(folder: Path) -> bool:
    """Tell whether a call on a folder may wait for another machine, or another process."""
    return _type_of(folder) in _SHARED or _type_of(folder) == _FUSE


def _type_of(folder: Path) -> int:
    """Return statfs(2)'s `f_type`, the first word of its answer; 0 where the system has no such call."""
    try:
        statfs = ctypes.CDLL(None, use_errno=True).statfs
    except AttributeError:
        return 0
    answer = (ctypes.c_long * 64)()
    if statfs(os.fsencode(folder), ctypes.byref(answer)) != 0:
        number = ctypes.get_errno()
        raise UnsafeFileSystem(f"cannot tell what file system {folder} is on: {os.strerror(number)}")
    return int(answer[0]) & 0xFFFFFFFF


def _remote_fuse(folder: Path) -> str | None:
    if _type_of(folder) != _FUSE:
        return None
    program = _fuse_program(folder)
    return f"{program} (FUSE)" if program in _REMOTE_FUSE else None


def _fuse_program(folder: Path) -> str:
    """Return what stands behind "fuse." in the type of the mount that holds the folder, "" when unknown."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0].partition(".")[2]
    return ""
