"""Reading the links of one repository of those that registry:2 left.

Links are read one after another while somebody asks for them, so that a repository of any size takes little memory.
Nothing broken stops the reading; it is noted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from entrepot.adoption.ports import LinkFile, RegistryTree
from entrepot.adoption.report import Problem, ProblemKind
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid, TagInvalid
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import layout

T = TypeVar("T")

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

    tree: RegistryTree
    name: RepositoryName
    problems: list[Problem] = field(default_factory=list)

    def note(self, kind: ProblemKind, subject: object, detail: str = "") -> None:
        """Remember something broken."""
        self.problems.append(Problem(kind, self.name, str(subject), detail))

    def layers(self) -> Iterator[LayerLink]:
        """Walk the blobs that the repository holds."""
        for digest, link in self._linked(layout.layers(self.name), layout.layer_link):
            yield LayerLink(digest, link)

    def layer(self, digest: Digest) -> LayerLink | None:
        """Read the link of a blob; None when the repository does not hold it."""
        target = self._read(layout.layer_link(self.name, digest))
        return None if target is None else LayerLink(digest, target)

    def revisions(self) -> Iterator[Digest]:
        """Walk the manifests that the repository holds."""
        return (digest for digest, _ in self._linked(layout.revisions(self.name), layout.revision_link))

    def has_revision(self, digest: Digest) -> bool:
        """Tell whether the repository holds a manifest."""
        return self._read(layout.revision_link(self.name, digest)) is not None

    def tags(self) -> Iterator[TagLink]:
        """Walk the tags."""
        for tag, file in self._files(self._tags(), lambda tag: layout.tag_current_link(self.name, tag)):
            if (digest := self._target(file)) is not None:
                yield TagLink(tag, digest, file.changed_at)

    def tag(self, tag: Tag) -> TagLink | None:
        """Read a tag; None when there is none."""
        (file,) = self.tree.links([layout.tag_current_link(self.name, tag)])
        digest = self._target(file)
        return None if digest is None else TagLink(tag, digest, file.changed_at)

    def named(self, digests: Collection[str]) -> Iterator[tuple[Digest, int]]:
        """Walk those of `digests` that the repository holds, as blob or manifest, with the times of their links.

        A few are asked for one by one; among many, the links of the repository are listed, and only what is found so
        is asked for.
        """
        for folder, link in ((layout.revisions, layout.revision_link), (layout.layers, layout.layer_link)):
            some = digests if len(digests) <= _FEW else self._listed(folder(self.name)) & set(digests)
            for digest in map(Digest.parse, some):
                changed = self.tree.changed_at(link(self.name, digest))
                if changed is not None:
                    yield digest, changed

    def _listed(self, folder: str) -> set[str]:
        return {
            f"{algorithm}:{encoded}"
            for algorithm in self._folders(folder)
            for encoded in self._folders(f"{folder}/{algorithm}")
        }

    def _linked(self, folder: str, path: Callable[[RepositoryName, Digest], str]) -> Iterator[tuple[Digest, Digest]]:
        """Walk the digests below a folder that have a link, with what it holds."""
        for digest, file in self._files(self._addresses(folder), lambda digest: path(self.name, digest)):
            if (target := self._target(file)) is not None:
                yield digest, target

    def _files(self, things: Iterator[T], path: Callable[[T], str]) -> Iterator[tuple[T, LinkFile]]:
        """Read the link of each; the tree may look for several at once, and gives them in order."""
        asked: deque[T] = deque()

        def paths() -> Iterator[str]:
            for thing in things:
                asked.append(thing)
                yield path(thing)

        for file in self.tree.links(paths()):
            yield asked.popleft(), file

    def _tags(self) -> Iterator[Tag]:
        for name in self._folders(layout.tags(self.name)):
            try:
                yield Tag.parse(name)
            except TagInvalid:
                self.note(ProblemKind.INVALID_NAME, name, "not a tag")

    def _addresses(self, folder: str) -> Iterator[Digest]:
        """Walk `<algorithm>/<hex>` below a folder of links."""
        for algorithm in self._folders(folder):
            for encoded in self._folders(f"{folder}/{algorithm}"):
                try:
                    yield Digest.parse(f"{algorithm}:{encoded}")
                except DigestInvalid:
                    self.note(ProblemKind.INVALID_NAME, f"{algorithm}/{encoded}", "not a digest")

    def _folders(self, folder: str) -> Iterator[str]:
        return self.tree.folders(
            folder, lambda _, error: self.note(ProblemKind.UNREADABLE, folder, error.strerror or "")
        )

    def _read(self, path: str) -> Digest | None:
        (file,) = self.tree.links([path])
        return self._target(file)

    def _target(self, file: LinkFile) -> Digest | None:
        """Give what a link holds; a missing one is how registry:2 marks what it deleted."""
        if file.error is not None:
            self.note(ProblemKind.UNREADABLE, file.path, file.error.strerror or "")
        if file.content is None:
            return None
        try:
            return Digest.parse(file.content.decode("ascii"))
        except (DigestInvalid, UnicodeDecodeError):
            self.note(ProblemKind.INVALID_LINK, file.path, "holds no digest" if file.content else "is empty")
            return None
