"""A folder as several hosts have it over a network: each `remote_folder.py FOLDER MOUNTPOINT …` is one host's mount.

It stands in for NFS: what a host knows of names that are not there it keeps for some seconds (`unseen`), as the kernel
keeps what FUSE allows; attributes are the server's, as NFS has them for who opens a file. Calls take their time
(`delay`), and a host may be cut off (`fails`), which gives EIO. What steers a mount lies in a file beside it, which is
read at each call.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mfusepy
from mfusepy import FuseOSError

from tests.support.terminal import ENDS_WITH_TESTS

_ROOT = Path(__file__).resolve().parents[2]


def _steered(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def guarded(self: RemoteFs, *arguments: Any) -> Any:
        self.obey()
        return call(self, *arguments)

    return guarded


class RemoteFs(mfusepy.Operations):
    """The calls of FUSE, handed on to the folder."""

    use_ns = True

    def __init__(self, folder: str, steering: str) -> None:
        self._folder = folder
        self._steering = Path(steering)

    def obey(self) -> None:
        """Take one's time, or fail."""
        told = json.loads(self._steering.read_text())
        time.sleep(told["delay"])
        if told["fails"]:
            raise FuseOSError(errno.EIO)

    def init(self, path: str) -> None:
        print("mounted", flush=True)

    def _at(self, path: str) -> str:
        return self._folder + path

    @_steered
    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        found = os.lstat(self._at(path)) if fh is None else os.fstat(fh)
        names = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size")
        times = {f"st_{kind}time": getattr(found, f"st_{kind}time_ns") for kind in "amc"}
        return {name: getattr(found, name) for name in names} | times

    @_steered
    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]  # noqa: PTH208 - names, as FUSE wants them

    @_steered
    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._at(path), mode)  # noqa: PTH102 - as above
        return 0

    @_steered
    def rmdir(self, path: str) -> int:
        os.rmdir(self._at(path))  # noqa: PTH106 - as above
        return 0

    @_steered
    def unlink(self, path: str) -> int:
        os.unlink(self._at(path))  # noqa: PTH108 - as above
        return 0

    @_steered
    def rename(self, old: str, new: str) -> int:
        os.rename(self._at(old), self._at(new))  # noqa: PTH104 - as above
        return 0

    @_steered
    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._at(path), mode)  # noqa: PTH101 - as above
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._at(path), ns=times)
        return 0

    @_steered
    def create(self, path: str, mode: int, fi: int = 0) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    @_steered
    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags & ~(os.O_APPEND | os.O_EXCL))

    @_steered
    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    @_steered
    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    @_steered
    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path) if fh is None else fh, length)
        return 0

    @_steered
    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._folder)
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail")
        return {name: getattr(found, name) for name in names}


class RemoteFolder:
    """One host's mount of a folder, for the length of a block."""

    def __init__(self, folder: Path, mountpoint: Path, *, unseen: float = 1.0, delay: float = 0.0) -> None:
        """Mount nothing yet.

        Args:
            folder: What all hosts share.
            mountpoint: Where this one has it.
            unseen: For so long a name that was missed stays unseen.
            delay: How long each call takes.
        """
        self.path = mountpoint
        self._folder = folder
        self._unseen = unseen
        self._delay = delay
        self._steering = mountpoint.with_suffix(".steering")
        self._process: subprocess.Popen[str] | None = None

    def steer(self, *, fails: bool = False) -> None:
        """Say how calls go from now on."""
        temporary = self._steering.with_suffix(".new")
        temporary.write_text(json.dumps({"delay": self._delay, "fails": fails}))
        temporary.replace(self._steering)

    def __enter__(self) -> Self:
        for path in (self._folder, self.path):
            path.mkdir(exist_ok=True)
        self.steer()
        command = [*ENDS_WITH_TESTS, sys.executable, "-m", "tests.support.remote_folder"]
        words = [str(self._folder), str(self.path), str(self._steering), str(self._unseen)]
        self._process = subprocess.Popen([*command, *words], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "mounted\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


if __name__ == "__main__":
    _, FOLDER, MOUNTPOINT, STEERING, UNSEEN = sys.argv
    mfusepy.FUSE(
        RemoteFs(FOLDER, STEERING),
        MOUNTPOINT,
        foreground=True,
        allow_other=True,
        negative_timeout=UNSEEN,
        attr_timeout=0,
        entry_timeout=1,
    )
