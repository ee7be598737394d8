"""Finding repositories and bytes in a folder that registry:2 filled. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from entrepot.adoption.ports import LinkFile, OnError
from entrepot.adoption.report import Problem, ProblemKind
from entrepot.oci.digest import ALGORITHMS, Digest, new_hasher
from entrepot.oci.errors import NameInvalid
from entrepot.oci.reference import MAX_NAME_LENGTH, RepositoryName
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob

#: registry:2 took manifests up to 4 MiB; more is not read into memory.
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
#: A link holds a digest; more than this is something else.
MAX_LINK_BYTES = 256


@dataclass(frozen=True, slots=True)
class Shard:
    """A folder of the blobs whose digests begin alike; whoever adds or collects one of them changes its time."""

    algorithm: str
    prefix: str
    changed_ns: int  #: in nanoseconds since the epoch

    @property
    def first(self) -> str:
        """Give what all digests in it begin with."""
        return f"{self.algorithm}:{self.prefix}"


class Tree:
    """A folder in registry:2's layout: a `RegistryTree`, and what only folders have."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Joined by hand below: a Path for each of very many files costs more than reading them.
        self._prefix = f"{root}/"

    @property
    def place(self) -> str:
        """Name it for people."""
        return str(self.root)

    def exists(self) -> bool:
        """Tell whether any repository could be here."""
        return (self.root / layout.REPOSITORIES).is_dir()

    def absolute(self, path: str) -> str:
        """Give the full path of a path of the layout."""
        return self._prefix + path

    def has(self, name: RepositoryName) -> bool:
        """Tell whether a repository of this name is here."""
        folder = self.root / layout.repository(name)
        return (folder / layout.MANIFESTS).is_dir() or (folder / layout.LAYERS).is_dir()

    def names(self) -> Iterator[RepositoryName | Problem]:
        """Walk the repositories, each before those nested below it; yield a problem for what cannot be one."""
        for name, children, problem in self._walk(self.root / layout.REPOSITORIES, "", ()):
            if problem is not None:
                yield problem
            elif layout.MANIFESTS in children or layout.LAYERS in children:
                yield parse_name(name)

    def sessions(self) -> Iterator[Path]:
        """Walk the folders of registry:2's own open uploads, in whichever repository."""
        for name, children, _ in self._walk(self.root / layout.REPOSITORIES, "", ()):
            if layout.SESSIONS in children:
                folder = self.root / layout.REPOSITORIES / name / layout.SESSIONS
                yield from (Path(entry.path) for entry in scan(str(folder)) if entry.is_dir(follow_symlinks=False))

    def _walk(
        self, folder: Path, name: str, above: tuple[tuple[int, int], ...]
    ) -> Iterator[tuple[str, list[str], Problem | None]]:
        """Yield (name, folders inside, None) of every folder that may be a repository, or a problem in their place.

        Links to folders are followed, as registry:2 does, except where they lead back to where they are.
        """
        problems: list[Problem] = []
        children = sorted(
            entry.name
            for entry in scan(str(folder), lambda _, error: problems.append(_unreadable(name, error)))
            if is_folder(entry)
        )
        yield from ((name, [], problem) for problem in problems)
        if name:
            yield name, children, None
        here = _identity(folder)
        if here in above or len(name) > MAX_NAME_LENGTH:
            return
        for child in children:
            if not child.startswith("_"):
                yield from self._walk(folder / child, f"{name}/{child}" if name else child, (*above, here))

    def folders(self, path: str, on_error: OnError | None = None) -> Iterator[str]:
        """Walk the names of the folders below a path."""
        return (entry.name for entry in scan(self._prefix + path, on_error) if is_folder(entry))

    def links(self, paths: Iterable[str]) -> Iterator[LinkFile]:
        """Read links, one after another."""
        return map(self._link, paths)

    def _link(self, path: str) -> LinkFile:
        try:
            with open(self._prefix + path, "rb", buffering=0) as link:  # noqa: PTH123 - half the cost of Path.open
                changed_at = os.fstat(link.fileno()).st_mtime_ns // 1000
                return LinkFile(path=path, content=link.read(MAX_LINK_BYTES), changed_at=changed_at)
        except (FileNotFoundError, NotADirectoryError):
            return LinkFile(path=path)
        except OSError as error:
            return LinkFile(path=path, error=error)

    def changed_at(self, path: str) -> int | None:
        """Give the time of a link in microseconds since the epoch; None when there is none."""
        try:
            return os.stat(self._prefix + path).st_mtime_ns // 1000  # noqa: PTH116 - see __init__
        except OSError:
            return None

    def find_blobs(self, digests: Collection[Digest]) -> dict[Digest, StoredBlob]:
        """Describe the files of those blobs that are there."""
        return {digest: found for digest in digests if (found := self.find_blob(digest)) is not None}

    def find_blob(self, digest: Digest) -> StoredBlob | None:
        """Describe the file of a blob; None when there is none."""
        try:
            found = os.stat(self._prefix + layout.blob_data(digest))  # noqa: PTH116 - see __init__
        except OSError:
            return None
        return StoredBlob(key=str(digest), size=found.st_size, inode=found.st_ino, mtime_ns=found.st_mtime_ns)

    def holds(self, digest: Digest) -> bool:
        """Read a blob's file to its end and tell whether the bytes have its digest."""
        hasher = new_hasher(digest.algorithm)
        try:
            with (self.root / layout.blob_data(digest)).open("rb") as data:
                while piece := data.read(1 << 20):
                    hasher.update(piece)
        except OSError:
            return False
        return hasher.hexdigest() == digest.encoded

    def contents(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, bytes | None]]:
        """Read the bytes of manifests, one after another."""
        return ((digest, self.manifest(digest)) for digest in digests)

    def manifest(self, digest: Digest) -> bytes | None:
        """Read the bytes of a manifest; None when there are none, or far too many."""
        return read_file(self._prefix + layout.blob_data(digest), MAX_MANIFEST_BYTES)

    def shards(self) -> list[Shard]:
        """List the folders in which folders of blobs are made and removed, a few hundred in all."""
        found = (
            shard_of(algorithm.name, entry)
            for algorithm in scan(self.absolute(layout.BLOBS))
            for entry in scan(algorithm.path)
        )
        return [shard for shard in found if shard is not None]

    def in_shard(self, shard: Shard) -> set[str]:
        """List the digests of the blobs and manifests in a shard, without a look at any of them.

        What is no digest may be among them, if it is as long as one.
        """
        folder = self.absolute(f"{layout.BLOBS}/{shard.algorithm}/{shard.prefix}")
        length = len(new_hasher(shard.algorithm).hexdigest()) if shard.algorithm in ALGORITHMS else 0
        names = (entry.name for entry in scan(folder))
        return {f"{shard.algorithm}:{name}" for name in names if len(name) == length and name.startswith(shard.prefix)}

    def placed_at(self, digest: Digest) -> int:
        """Give the time at which a blob was put into its folder, in nanoseconds since the epoch; 0 when it is gone."""
        try:
            return os.stat(self._prefix + layout.blob_folder(digest)).st_mtime_ns  # noqa: PTH116 - see __init__
        except OSError:
            return 0


def shard_of(algorithm: str, entry: os.DirEntry[str]) -> Shard | None:
    """Describe an entry of an algorithm's folder; None when a collection has removed it since it was listed."""
    try:
        return Shard(algorithm, entry.name, entry.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


def scan(folder: str, on_error: OnError | None = None) -> Iterator[os.DirEntry[str]]:
    """Walk a folder; one that is not there is empty, and one that may not be read is handed to `on_error`."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if on_error is not None:
            on_error(folder, error)


def read_file(path: str, limit: int) -> bytes | None:
    """Read a small file; None when it cannot be read or has more than `limit` bytes."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - half the cost of Path.open
            content = file.read(limit + 1)
    except OSError:
        return None
    return content if len(content) <= limit else None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _unreadable(name: str, error: OSError) -> Problem:
    return Problem(ProblemKind.UNREADABLE, name, name or layout.REPOSITORIES, error.strerror or "")


def parse_name(name: str) -> RepositoryName | Problem:
    """Read the name of a repository's folder; a problem for what registry:2 would not have made."""
    try:
        return RepositoryName.parse(name)
    except NameInvalid as error:
        return Problem(ProblemKind.INVALID_NAME, name, name, error.message)
