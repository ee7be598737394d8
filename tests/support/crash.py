"""Power cuts, replayed: what may be left on a disk when everything that was not synced is up to chance.

`RecordingFs` does what `Fs` does and keeps a log of it. `CrashStates` takes the log up to some point and builds one
disk that could be found after a power cut there:

- Bytes written to a file are certain once the file was synced. Until then each write may be there, be missing, be torn
  at a sector, or be zeros.
- A name (made, moved, removed) is certain once its folder was synced. Until then each change may be there or not,
  whatever became of those before and after it. A move may have given the new name without taking the old one away.

That is harsher than any file system in use, which is the point.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from entrepot.adapters.blobs.fs import Fs
from entrepot.oci.digest import Digest
from entrepot.registry.ports import UploadProgress

SECTOR = 512
NEVER = 1 << 60


@dataclass(frozen=True, slots=True)
class Create:
    """A new file got a name."""

    path: str
    file: int


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes went to a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Rename:
    """A file got another name."""

    source: str
    target: str
    file: int


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name was taken away."""

    path: str


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """A folder was made."""

    path: str


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """A folder was removed."""

    path: str


@dataclass(frozen=True, slots=True)
class Sync:
    """All bytes written to a file became certain."""

    file: int


@dataclass(frozen=True, slots=True)
class SyncFolder:
    """All names in a folder became certain."""

    path: str


@dataclass(frozen=True, slots=True)
class Said:
    """Not an effect on the disk: what the store told its caller at this point."""

    what: str
    key: str
    #: Of an upload: what its row would tell, and what digest its bytes had.
    progress: tuple[UploadProgress, Digest] | None = None


NameChange = Create | Rename | Unlink | MakeFolder | RemoveFolder
Operation = NameChange | Write | Sync | SyncFolder | Said


@dataclass(slots=True)
class Log:
    """What happened on one disk, by whichever worker, in order."""

    operations: list[Operation] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    opened: dict[int, int | str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, operation: Operation) -> None:
        """Note an operation."""
        self.operations.append(operation)

    def say(self, what: str, key: str, progress: tuple[UploadProgress, Digest] | None = None) -> None:
        """Note what the store told its caller."""
        self.add(Said(what, key, progress))


class RecordingFs(Fs):
    """The real disk, writing a log; several may write the same."""

    def __init__(self, log: Log, *, forget: Callable[[Operation], bool] = lambda _: False) -> None:
        """Write to `log`; leave out what `forget` picks, as a store would that does not do it."""
        super().__init__()
        self.log = log
        self._forget = forget

    def _add(self, operation: Operation) -> None:
        if not self._forget(operation):
            self.log.add(operation)

    def make_folder(self, path: str, mode: int = 0o777) -> None:
        """Make a folder."""
        with self.log.lock:
            super().make_folder(path, mode)
            self._add(MakeFolder(path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder."""
        with self.log.lock:
            super().remove_folder(path)
            self._add(RemoveFolder(path))

    def rename(self, source: str, target: str) -> None:
        """Rename a file."""
        with self.log.lock:
            super().rename(source, target)
            file = self.log.files[target] = self.log.files.pop(source)
            self._add(Rename(source, target, file))

    def unlink(self, path: str) -> None:
        """Remove a name."""
        with self.log.lock:
            super().unlink(path)
            self.log.files.pop(path)
            self._add(Unlink(path))

    def open(self, path: str, flags: int) -> int:
        """Open a file, and remember which one it is."""
        with self.log.lock:
            descriptor = super().open(path, flags)
            if flags & os.O_DIRECTORY:
                self.log.opened[descriptor] = path
                return descriptor
            if path not in self.log.files:
                self.log.files[path] = len(self.log.operations)
                self._add(Create(path, self.log.files[path]))
            self.log.opened[descriptor] = self.log.files[path]
            return descriptor

    def write(self, file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
        """Write bytes, each part an effect of its own."""
        with self.log.lock:
            super().write(file, parts, offset)
            for part in parts:
                self._add(Write(_file(self.log.opened[file]), offset, bytes(part)))
                offset += len(part)

    def sync(self, file: int) -> None:
        """Sync a file or a folder; the log alone needs to know."""
        with self.log.lock:
            opened = self.log.opened[file]
            self._add(SyncFolder(opened) if isinstance(opened, str) else Sync(opened))


def _file(opened: int | str) -> int:
    assert isinstance(opened, int)
    return opened


class UnsyncedFs(Fs):
    """The real disk for looking at a crash state, where waiting for it would only cost time."""

    def sync(self, file: int) -> None:
        """Do nothing."""


class CrashStates:
    """The disks that a power cut may leave of one log."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        """Work out from when on each operation is certain."""
        self.operations = operations
        self._certain_from = [_certain_from(operations, n) for n in range(len(operations))]

    def build(self, cut: int, chance: Random, *, keep: float) -> tuple[list[str], dict[str, int], dict[int, bytes]]:
        """Choose one disk of a cut before operation `cut`, keeping uncertain effects with this probability.

        Returns:
            The folders, the files by name, and what each file contains.
        """
        folders: dict[str, None] = {}
        names: dict[str, int] = {}
        contents: dict[int, bytearray] = {}
        for n, operation in enumerate(self.operations[:cut]):
            certain = self._certain_from[n] < cut
            if isinstance(operation, Write):
                _write(contents, operation, certain=certain, chance=chance, keep=keep)
            elif not isinstance(operation, Sync | SyncFolder | Said) and (certain or chance.random() < keep):
                _apply(folders, names, operation, both_names=not certain and chance.random() < 0.1)
        return list(folders), names, {file: bytes(content) for file, content in contents.items()}


def _certain_from(operations: Sequence[Operation], n: int) -> int:
    operation = operations[n]
    settles: Operation
    if isinstance(operation, Write):
        settles = Sync(operation.file)
    elif isinstance(operation, Rename):
        settles = SyncFolder(str(Path(operation.target).parent))
    elif isinstance(operation, Create | Unlink | MakeFolder | RemoveFolder):
        settles = SyncFolder(str(Path(operation.path).parent))
    else:
        return n
    return next((later for later in range(n + 1, len(operations)) if operations[later] == settles), NEVER)


def _write(contents: dict[int, bytearray], write: Write, *, certain: bool, chance: Random, keep: float) -> None:
    data = write.data
    if not certain and chance.random() >= keep:
        fate = chance.choice(("missing", "torn", "zeros"))
        if fate == "missing":
            return
        data = data[: chance.randrange(0, len(data) + 1, SECTOR)] if fate == "torn" else bytes(len(data))
    content = contents.setdefault(write.file, bytearray())
    content.extend(bytes(max(write.offset - len(content), 0)))
    content[write.offset : write.offset + len(data)] = data


def _apply(folders: dict[str, None], names: dict[str, int], change: NameChange, *, both_names: bool) -> None:
    match change:
        case Create(path, file):
            names[path] = file
        case Rename(source, target, file):
            names[target] = file
            if not both_names:
                names.pop(source, None)
        case Unlink(path):
            names.pop(path, None)
        case MakeFolder(path):
            folders[path] = None
        case RemoveFolder(path):
            folders.pop(path, None)
            for name in [name for name in names if name.startswith(f"{path}/")]:
                del names[name]


def lay_out(old_root: Path, root: Path, folders: list[str], names: dict[str, int], contents: dict[int, bytes]) -> None:
    """Make a real folder of a crash state; what lies in a folder that was lost is lost."""
    for folder in sorted(folders):
        place = root / Path(folder).relative_to(old_root)
        if place.parent.is_dir():
            place.mkdir()
    first_name: dict[int, Path] = {}
    for name, file in names.items():
        place = root / Path(name).relative_to(old_root)
        if not place.parent.is_dir():
            continue
        if file in first_name:
            os.link(first_name[file], place)
            continue
        place.write_bytes(contents.get(file, b""))
        first_name[file] = place
