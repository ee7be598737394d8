"""Files and folders that keep two states: what programs see, and what is certain after a power cut.

Bytes of a file become certain when the file is synced, names in a folder when the folder is. Everything else is a list
of changes on top, of which a power cut leaves any part (`Luck`). That is harsher than any file system in use.
"""

from __future__ import annotations

import itertools
import stat
import time
from dataclasses import dataclass, field
from enum import Enum
from random import Random

SECTOR = 512
_numbers = itertools.count(2)


class Luck(Enum):
    """How much of what was not synced a power cut leaves."""

    NOTHING = "nothing"
    SOME = "some"
    EVERYTHING = "everything"


@dataclass(slots=True)
class Write:
    """Bytes on their way to a file."""

    offset: int
    data: bytes


@dataclass(slots=True)
class Resize:
    """A new length on its way to a file."""

    size: int


@dataclass(slots=True, kw_only=True)
class Node:
    """What files and folders share."""

    mode: int
    uid: int = 0
    gid: int = 0
    number: int = field(default_factory=lambda: next(_numbers))
    changed_ns: int = field(default_factory=time.time_ns)

    def attributes(self, links: int) -> dict[str, int]:
        """Describe it in the words of stat(2)."""
        return {
            "st_mode": self.mode,
            "st_ino": self.number,
            "st_nlink": links,
            "st_uid": self.uid,
            "st_gid": self.gid,
            "st_mtime": self.changed_ns,
            "st_ctime": self.changed_ns,
            "st_atime": self.changed_ns,
        }


@dataclass(slots=True, kw_only=True)
class File(Node):
    """A file: its bytes, those that are certain, and the changes between."""

    data: bytearray = field(default_factory=bytearray)
    certain: bytearray = field(default_factory=bytearray)
    pending: list[Write | Resize] = field(default_factory=list)
    #: In how many folders it is.
    links: int = 1

    def attributes(self, links: int = 0) -> dict[str, int]:
        """Describe it."""
        size = len(self.data)
        return {**Node.attributes(self, links or self.links), "st_size": size, "st_blocks": -(-size // SECTOR)}

    def change(self, change: Write | Resize) -> None:
        """Change the bytes that programs see."""
        _apply(self.data, change)
        self.pending.append(change)
        self.changed_ns = time.time_ns()

    def sync(self) -> None:
        """Make every byte certain."""
        for change in self.pending:
            _apply(self.certain, change)
        self.pending.clear()

    def cut(self, luck: Luck, random: Random) -> None:
        """Be what is found after a power cut."""
        for change in self.pending:
            for part in _survivors(change, luck, random):
                _apply(self.certain, part)
        self.pending.clear()
        self.data = bytearray(self.certain)


@dataclass(slots=True, kw_only=True)
class Change:
    """A name on its way into a folder (`node` set) or out of it."""

    name: str
    node: Node | None
    #: For the old name of something that moved: the new one, without which the old one is still there.
    depends_on: Change | None = None
    happened: bool = True


@dataclass(slots=True, kw_only=True)
class Folder(Node):
    """A folder: its names, those that are certain, and the changes between."""

    names: dict[str, Node] = field(default_factory=dict)
    certain: dict[str, Node] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)

    def attributes(self, links: int = 2) -> dict[str, int]:
        """Describe it."""
        return {**Node.attributes(self, links), "st_size": 4096, "st_blocks": 8}

    def change(self, change: Change) -> None:
        """Change a name that programs see."""
        _rename(self.names, change)
        self.pending.append(change)
        self.changed_ns = time.time_ns()

    def sync(self) -> None:
        """Make every name certain."""
        for change in self.pending:
            _rename(self.certain, change)
        self.pending.clear()

    def draw(self, luck: Luck, random: Random) -> None:
        """Decide which changes of names a power cut leaves; all folders do so before any of them is cut."""
        for change in self.pending:
            change.happened = luck is Luck.EVERYTHING or (luck is Luck.SOME and random.random() < 0.5)

    def cut(self) -> None:
        """Be what is found after a power cut."""
        for change in self.pending:
            if change.happened and (change.depends_on is None or change.depends_on.happened):
                _rename(self.certain, change)
        self.pending.clear()
        self.names = dict(self.certain)


def new_folder(mode: int = 0o755) -> Folder:
    """Make an empty folder."""
    return Folder(mode=stat.S_IFDIR | stat.S_IMODE(mode))


def cut_power(root: Folder, luck: Luck, random: Random) -> None:
    """Turn a tree into what is found after a power cut; open files and unnamed ones are gone."""
    before = _folders(root)
    for folder in before:
        folder.draw(luck, random)
    for folder in before:
        folder.cut()
    after = _folders(root)
    found = [node for folder in after for node in folder.names.values() if isinstance(node, File)]
    for file in {file.number: file for file in found}.values():
        file.cut(luck, random)
        file.links = sum(other is file for other in found)


def _folders(root: Folder) -> list[Folder]:
    """List all folders that have a name, certain or not."""
    found, waiting = {root.number: root}, [root]
    while waiting:
        folder = waiting.pop()
        for node in (*folder.names.values(), *folder.certain.values()):
            if isinstance(node, Folder) and node.number not in found:
                found[node.number] = node
                waiting.append(node)
    return list(found.values())


def _apply(data: bytearray, change: Write | Resize) -> None:
    size = change.size if isinstance(change, Resize) else change.offset
    if isinstance(change, Resize) and size < len(data):
        del data[size:]
    elif size > len(data):
        data.extend(bytes(size - len(data)))
    if isinstance(change, Write):
        data[change.offset : change.offset + len(change.data)] = change.data


def _rename(names: dict[str, Node], change: Change) -> None:
    if change.node is None:
        names.pop(change.name, None)
    else:
        names[change.name] = change.node


def _survivors(change: Write | Resize, luck: Luck, random: Random) -> list[Write | Resize]:
    """Draw what is left of a change: all, nothing, the length without the bytes, or the first sectors."""
    if luck is not Luck.SOME:
        return [change] if luck is Luck.EVERYTHING else []
    fate = random.randrange(4)
    if isinstance(change, Resize):
        return [change] if fate % 2 else []
    torn = change.data[: random.randrange(0, len(change.data) + 1, SECTOR)]
    return [[change], [], [Write(change.offset + len(change.data), b"")], [Write(change.offset, torn)]][fate]
