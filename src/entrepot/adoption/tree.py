"""Reading the files of a folder that registry:2 filled. Nothing is written, and nothing broken stops the reading."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from entrepot.adoption.report import Problem, ProblemKind
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, NameInvalid, TagInvalid
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import layout

#: A link holds a digest; more than this is something else.
_MAX_LINK_BYTES = 256
#: registry:2 took manifests up to 4 MiB; more is not read into memory.
_MAX_MANIFEST_BYTES = 16 * 1024 * 1024
#: Deeper folders hold no repository: a name has at most 255 characters.
_MAX_DEPTH = 128


@dataclass(frozen=True, slots=True)
class TagLink:
    """What a tag names, and since when in microseconds since the epoch."""

    tag: Tag
    digest: Digest
    at: int


@dataclass(slots=True)
class RepositoryFiles:
    """The links of one repository."""

    name: RepositoryName
    #: The digest under which a blob is linked, and the one under which its bytes lie (registry:2 has aliases).
    layers: dict[Digest, Digest] = field(default_factory=dict)
    revisions: list[Digest] = field(default_factory=list)
    tags: list[TagLink] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: ProblemKind, subject: object, detail: str = "") -> None:
        """Remember something broken."""
        self.problems.append(Problem(kind, self.name, str(subject), detail))


class Tree:
    """A folder in registry:2's layout (see `entrepot.registry.layout`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def exists(self) -> bool:
        """Tell whether any repository could be here."""
        return (self.root / layout.REPOSITORIES).is_dir()

    def has(self, name: RepositoryName) -> bool:
        """Tell whether a repository of this name is here."""
        folder = self.root / layout.repository(name)
        return (folder / layout.MANIFESTS).is_dir() or (folder / layout.LAYERS).is_dir()

    def names(self) -> Iterator[RepositoryName | Problem]:
        """Walk the repositories, each before those nested below it; yield a problem for what cannot be one."""
        yield from self._names(self.root / layout.REPOSITORIES, "", 0)

    def _names(self, folder: Path, name: str, depth: int) -> Iterator[RepositoryName | Problem]:
        children = sorted(entry.name for entry in _scan(folder) if entry.is_dir(follow_symlinks=False))
        if name and (layout.MANIFESTS in children or layout.LAYERS in children):
            yield _parse_name(name)
        if depth < _MAX_DEPTH:
            for child in children:
                if not child.startswith("_"):
                    yield from self._names(folder / child, f"{name}/{child}" if name else child, depth + 1)

    def read(self, name: RepositoryName) -> RepositoryFiles:
        """Read all links of a repository."""
        files = RepositoryFiles(name)
        for digest, link in self._addresses(files, layout.layers(name)):
            if (target := self._link(files, link)) is not None:
                files.layers[digest] = target
        for digest, link in self._addresses(files, layout.revisions(name)):
            if self._link(files, link) is not None:
                files.revisions.append(digest)
        self._read_tags(files)
        return files

    def _read_tags(self, files: RepositoryFiles) -> None:
        for entry in _scan(self.root / layout.tags(files.name)):
            try:
                tag = Tag.parse(entry.name)
            except TagInvalid:
                files.note(ProblemKind.INVALID_NAME, entry.name, "not a tag")
                continue
            link = layout.tag_current_link(files.name, tag)
            digest = self._link(files, link)
            if digest is not None:
                at = (self.root / link).stat().st_mtime_ns // 1000
                files.tags.append(TagLink(tag, digest, at))

    def _addresses(self, files: RepositoryFiles, folder: str) -> Iterator[tuple[Digest, str]]:
        """Walk `<algorithm>/<hex>` below a folder of links."""
        for algorithm in _scan(self.root / folder):
            for encoded in _scan(Path(algorithm.path)):
                try:
                    digest = Digest.parse(f"{algorithm.name}:{encoded.name}")
                except DigestInvalid:
                    files.note(ProblemKind.INVALID_NAME, f"{algorithm.name}/{encoded.name}", "not a digest")
                    continue
                yield digest, f"{folder}/{algorithm.name}/{encoded.name}/link"

    def _link(self, files: RepositoryFiles, path: str) -> Digest | None:
        """Read a link; a missing one is how registry:2 marks what it deleted."""
        try:
            with open(self.root / path, "rb", buffering=0) as link:  # noqa: PTH123 - half the cost of Path.open
                text = link.read(_MAX_LINK_BYTES)
            return Digest.parse(text.decode("ascii"))
        except FileNotFoundError:
            return None
        except (DigestInvalid, UnicodeDecodeError):
            files.note(ProblemKind.INVALID_LINK, path, "holds no digest" if text else "is empty")
        except OSError as error:
            files.note(ProblemKind.UNREADABLE, path, error.strerror or "")
        return None

    def stat_blob(self, digest: Digest) -> os.stat_result | None:
        """Describe the file of a blob; None when there is none."""
        try:
            return (self.root / layout.blob_data(digest)).stat()
        except OSError:
            return None

    def manifest(self, digest: Digest) -> bytes | None:
        """Read the bytes of a manifest; None when there are none, or far too many."""
        try:
            with open(self.root / layout.blob_data(digest), "rb", buffering=0) as data:  # noqa: PTH123 - as above
                content = data.read(_MAX_MANIFEST_BYTES + 1)
        except OSError:
            return None
        return content if len(content) <= _MAX_MANIFEST_BYTES else None


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _parse_name(name: str) -> RepositoryName | Problem:
    try:
        return RepositoryName.parse(name)
    except NameInvalid as error:
        return Problem(ProblemKind.INVALID_NAME, name, name, error.message)
