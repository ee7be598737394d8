"""Reading the links of one repository in a folder that registry:2 filled.

Links are read one after another while somebody asks for them, so that a repository of any size takes little memory.
Nothing broken stops the reading; it is noted.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from entrepot.adoption.report import Problem, ProblemKind
from entrepot.adoption.tree import Tree, is_folder, scan
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, TagInvalid
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import layout

#: A link holds a digest; more than this is something else.
_MAX_LINK_BYTES = 256
#: As many digests are sooner asked for one by one than looked for among all links of a repository.
_FEW = 50


@dataclass(frozen=True, slots=True)
class TagLink:
    """What a tag names, and since when in microseconds since the epoch."""

    tag: Tag
    digest: Digest
    at: int


@dataclass(frozen=True, slots=True)
class LayerLink:
    """The digest under which a blob is linked, and the one under which its bytes lie (registry:2 has aliases)."""

    digest: Digest
    stored_as: Digest


@dataclass(frozen=True, slots=True)
class RepositoryLinks:
    """The links of one repository, and what was found broken while reading them."""

    tree: Tree
    name: RepositoryName
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: ProblemKind, subject: object, detail: str = "") -> None:
        """Remember something broken."""
        self.problems.append(Problem(kind, self.name, str(subject), detail))

    def layers(self) -> Iterator[LayerLink]:
        """Walk the blobs that the repository holds."""
        for digest in self._addresses(layout.layers(self.name)):
            if (link := self.layer(digest)) is not None:
                yield link

    def layer(self, digest: Digest) -> LayerLink | None:
        """Read the link of a blob; None when the repository does not hold it."""
        target = self._read(layout.layer_link(self.name, digest))
        return None if target is None else LayerLink(digest, target)

    def revisions(self) -> Iterator[Digest]:
        """Walk the manifests that the repository holds."""
        return (digest for digest in self._addresses(layout.revisions(self.name)) if self.has_revision(digest))

    def has_revision(self, digest: Digest) -> bool:
        """Tell whether the repository holds a manifest."""
        return self._read(layout.revision_link(self.name, digest)) is not None

    def tags(self) -> Iterator[TagLink]:
        """Walk the tags."""
        for entry in self._scan(layout.tags(self.name)):
            if not is_folder(entry):
                continue
            try:
                tag = Tag.parse(entry.name)
            except TagInvalid:
                self.note(ProblemKind.INVALID_NAME, entry.name, "not a tag")
                continue
            if (link := self.tag(tag)) is not None:
                yield link

    def named(self, digests: Collection[str]) -> Iterator[tuple[Digest, int]]:
        """Walk those of `digests` that the repository holds, as blob or manifest, with the times of their links.

        A few are asked for one by one; among many, the links of the repository are listed, and only what is found so
        is asked for.
        """
        for folder, link in ((layout.revisions, layout.revision_link), (layout.layers, layout.layer_link)):
            some = digests if len(digests) <= _FEW else self._listed(folder(self.name)) & set(digests)
            for digest in map(Digest.parse, some):
                changed = self._changed_at(link(self.name, digest))
                if changed is not None:
                    yield digest, changed

    def _listed(self, folder: str) -> set[str]:
        return {
            f"{algorithm.name}:{encoded.name}"
            for algorithm in self._scan(folder)
            for encoded in self._scan(f"{folder}/{algorithm.name}")
        }

    def tag(self, tag: Tag) -> TagLink | None:
        """Read a tag; None when there is none."""
        path = layout.tag_current_link(self.name, tag)
        digest = self._read(path)
        if digest is None:
            return None
        changed = self._changed_at(path)
        return None if changed is None else TagLink(tag, digest, changed)

    def _changed_at(self, path: str) -> int | None:
        """Give the time of a link in microseconds since the epoch; None when there is none."""
        try:
            return os.stat(self.tree.absolute(path)).st_mtime_ns // 1000  # noqa: PTH116 - half the cost of Path.stat
        except OSError:
            return None

    def _addresses(self, folder: str) -> Iterator[Digest]:
        """Walk `<algorithm>/<hex>` below a folder of links."""
        for algorithm in self._scan(folder):
            for encoded in self._scan(f"{folder}/{algorithm.name}"):
                if not is_folder(encoded):
                    continue
                try:
                    yield Digest.parse(f"{algorithm.name}:{encoded.name}")
                except DigestInvalid:
                    self.note(ProblemKind.INVALID_NAME, f"{algorithm.name}/{encoded.name}", "not a digest")

    def _scan(self, folder: str) -> Iterator[os.DirEntry[str]]:
        return scan(
            self.tree.absolute(folder),
            lambda _, error: self.note(ProblemKind.UNREADABLE, folder, error.strerror or ""),
        )

    def _read(self, path: str) -> Digest | None:
        """Read a link; a missing one is how registry:2 marks what it deleted."""
        try:
            with open(self.tree.absolute(path), "rb", buffering=0) as link:  # noqa: PTH123 - half the cost of Path.open
                text = link.read(_MAX_LINK_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.note(ProblemKind.UNREADABLE, path, error.strerror or "")
            return None
        try:
            return Digest.parse(text.decode("ascii"))
        except (DigestInvalid, UnicodeDecodeError):
            self.note(ProblemKind.INVALID_LINK, path, "holds no digest" if text else "is empty")
            return None
