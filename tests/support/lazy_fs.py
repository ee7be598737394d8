"""A file system in memory that forgets what was not synced when its power is cut: `lazy_fs.py MOUNTPOINT SEED`.

It is served by FUSE from a process of its own, and survives being unmounted: each unmounting is a reboot after a power
cut, and the next mounting shows what is left. The attribute `user.power_cut` on its root is the switch: from that
moment on every call fails with EIO, as on a disk that is gone.

`LazyDisk` is the handle for tests. Memory mapped files (SQLite's `-shm`) work, since the kernel's page cache is used;
locks are the kernel's own.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import mfusepy
from mfusepy import FuseOSError

from tests.support.lazy_files import Change, File, Folder, Luck, Node, Resize, Write, cut_power, new_folder

SWITCH = "user.power_cut"
_ROOT = Path(__file__).resolve().parents[2]
_BLOCK = 4096
_BLOCKS = 64 * 1024 * 1024 // _BLOCK
_FOREVER = 3600


def _powered(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def guarded(self: LazyFs, *arguments: Any) -> Any:
        if self.dead:
            raise FuseOSError(errno.EIO)
        return call(self, *arguments)

    return guarded


class LazyFs(mfusepy.Operations):
    """The calls of FUSE; one at a time, so that nothing here needs a lock."""

    use_ns = True
    #: A file without a name has no path, but is still open.
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(self) -> None:
        self.root = new_folder()
        self.dead = False
        self._open: dict[int, Node] = {}
        self._next = 1

    def init(self, path: str) -> None:
        print("mounted", flush=True)

    # Names.

    @_powered
    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, int]:
        node = self._node(path) if fh is None else self._open[fh]
        return node.attributes(0) if isinstance(node, File) else node.attributes(2)

    @_powered
    def opendir(self, path: str) -> int:
        return self._opened(self._node(path))

    @_powered
    def readdir(self, path: str | None, fh: int) -> list[str]:
        return [".", "..", *_as_folder(self._open[fh]).names]

    @_powered
    def mkdir(self, path: str, mode: int) -> int:
        parent, name = self._parent(path)
        parent.change(Change(name=name, node=new_folder(mode)))
        return 0

    @_powered
    def rmdir(self, path: str) -> int:
        if _as_folder(self._node(path)).names:
            raise FuseOSError(errno.ENOTEMPTY)
        return self._remove(path)

    @_powered
    def unlink(self, path: str) -> int:
        _as_file(self._node(path)).links -= 1
        return self._remove(path)

    @_powered
    def rename(self, old: str, new: str) -> int:
        node = self._node(old)
        source, old_name = self._parent(old)
        target, new_name = self._parent(new)
        replaced = target.names.get(new_name)
        if isinstance(replaced, File):
            replaced.links -= 1
        arrival = Change(name=new_name, node=node)
        target.change(arrival)
        source.change(Change(name=old_name, node=None, depends_on=arrival))
        return 0

    @_powered
    def chmod(self, path: str | None, mode: int, fh: int | None = None) -> int:
        node = self._node(path) if fh is None else self._open[fh]
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    def chown(self, path: str | None, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str | None, times: tuple[int, int] | None = None) -> int:
        return 0

    @_powered
    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        _as_folder(self._open[fh]).sync()
        return 0

    def releasedir(self, path: str | None, fh: int) -> int:
        return self.release(path, fh)

    # Files.

    @_powered
    def create(self, path: str, mode: int, fi: int = 0) -> int:
        parent, name = self._parent(path)
        file = File(mode=stat.S_IFREG | stat.S_IMODE(mode))
        parent.change(Change(name=name, node=file))
        return self._opened(file)

    @_powered
    def open(self, path: str, flags: int) -> int:
        file = _as_file(self._node(path))
        if flags & os.O_TRUNC:
            file.change(Resize(0))
        return self._opened(file)

    @_powered
    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._opened_file(fh).data[offset : offset + size])

    @_powered
    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        self._opened_file(fh).change(Write(offset, data))
        return len(data)

    @_powered
    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        file = _as_file(self._node(path)) if fh is None else self._opened_file(fh)
        file.change(Resize(length))
        return 0

    @_powered
    def fallocate(self, path: str | None, mode: int, offset: int, size: int, fh: int) -> int:
        file = self._opened_file(fh)
        if mode:
            raise FuseOSError(errno.EOPNOTSUPP)
        if offset + size > len(file.data):
            file.change(Resize(offset + size))
        return 0

    @_powered
    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        self._opened_file(fh).sync()
        return 0

    def release(self, path: str | None, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    # The rest.

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        if name != SWITCH:
            raise FuseOSError(errno.EOPNOTSUPP)
        self.dead = True
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        # Always half empty: whether a disk is full is not the question here.
        half = _BLOCKS // 2
        return {"f_bsize": _BLOCK, "f_frsize": _BLOCK, "f_blocks": _BLOCKS, "f_bfree": half, "f_bavail": half}

    def reboot(self, luck: Luck, random: Random) -> None:
        """Forget, and work again."""
        cut_power(self.root, luck, random)
        self._open.clear()
        self.dead = False

    def _opened(self, node: Node) -> int:
        self._next += 1
        self._open[self._next] = node
        return self._next

    def _node(self, path: str | None) -> Node:
        node: Node = self.root
        for name in (path or "/").split("/"):
            if not name:
                continue
            if not isinstance(node, Folder):
                raise FuseOSError(errno.ENOTDIR)
            if name not in node.names:
                raise FuseOSError(errno.ENOENT)
            node = node.names[name]
        return node

    def _opened_file(self, fh: int) -> File:
        return _as_file(self._open[fh])

    def _parent(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        return _as_folder(self._node(folder)), name

    def _remove(self, path: str) -> int:
        parent, name = self._parent(path)
        parent.change(Change(name=name, node=None))
        return 0


def _as_folder(node: Node) -> Folder:
    if not isinstance(node, Folder):
        raise FuseOSError(errno.ENOTDIR)
    return node


def _as_file(node: Node) -> File:
    if not isinstance(node, File):
        raise FuseOSError(errno.EISDIR)
    return node


class _Fuse(mfusepy.FUSE):
    """Passes on what its parent leaves out: the handles of files that have no name any more."""

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        name = None if path is None else path.decode(self.encoding, self.errors)
        return self.operations.truncate(name, length, fip.contents.fh if fip else None)

    def chmod_fuse_3(self, path: bytes | None, mode: int, fip: Any) -> int:
        name = None if path is None else path.decode(self.encoding, self.errors)
        return self.operations.chmod(name, mode, fip.contents.fh if fip else None)

    def chown_fuse_3(self, path: bytes | None, uid: int, gid: int, fip: Any) -> int:
        return 0

    def utimens_fuse_3(self, path: bytes | None, buf: Any, fip: Any) -> int:
        return 0


class LazyDisk:
    """A mounted `LazyFs`; needs /dev/fuse and the right to mount.

        with LazyDisk(folder, seed=7) as disk:
            ...
            disk.cut()     # nothing reaches it any more
            ...            # end everybody who uses it
            disk.reboot()  # what is left

    Which part of the unsynced is left follows the seed: nothing in every second reboot, some of it in the others.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "tests.support.lazy_fs", str(folder), str(seed)]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        self._wait_until_mounted()

    def cut(self) -> None:
        """Cut the power: every call fails from now on."""
        os.setxattr(self.folder, SWITCH, b"")

    def reboot(self) -> None:
        """Unmount, forget, mount again. Nobody may use it any more."""
        deadline = time.monotonic() + 10
        while subprocess.run(["umount", str(self.folder)], check=False, capture_output=True).returncode:
            assert time.monotonic() < deadline, f"somebody still uses {self.folder}"
            time.sleep(0.02)
        self._wait_until_mounted()

    def close(self) -> None:
        """Unmount it for good."""
        self._process.terminate()
        self._process.communicate(timeout=10)
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_until_mounted(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "mounted\n", "the file system's process ended; is there a /dev/fuse?"


def main(mountpoint: str, seed: int) -> None:
    """Serve, and again after each unmounting, until terminated."""
    fs, random = LazyFs(), Random(seed)
    with suppress(RuntimeError):  # how mfusepy says that a signal ended it
        while True:
            serve(fs, mountpoint)
            fs.reboot(random.choice((Luck.NOTHING, Luck.SOME)), random)


def serve(fs: LazyFs, mountpoint: str) -> None:
    """Mount, and serve until somebody unmounts."""
    options = {"hard_remove": True, "kernel_cache": True, "use_ino": True}
    times = {"attr_timeout": _FOREVER, "entry_timeout": _FOREVER}
    _Fuse(fs, mountpoint, foreground=True, nothreads=True, fsname="lazy", subtype="lazy", **options, **times)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
