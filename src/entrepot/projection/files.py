"""Writing registry:2's link and manifest files. Blocks on the disk: call it from a thread.

Nothing here is synced: what a power cut takes away, `entrepot layout write` brings back from the metadata.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from entrepot.metadata import clock
from entrepot.oci.digest import Digest
from entrepot.oci.reference import RepositoryName, Tag
from entrepot.registry import layout
from entrepot.registry.file_locks import FileLocks
from entrepot.registry.locks import PROJECTION, Locks

#: How often a folder may be removed between making it and using it before that is somebody's fault.
_TRIES = 5


class TreeFiles:
    """The part of a folder that registry:2 reads and we only write."""

    def __init__(self, root: Path, locks: Locks | None = None) -> None:
        """Name the folder, and the locks of all who write to it; none where all of them are on one machine."""
        self._root = root
        self._locks = locks or FileLocks(root / layout.OWN)

    @property
    def root(self) -> Path:
        """The folder itself."""
        return self._root

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Give the turn to write, of all processes on the folder."""
        return self._locks.turn(PROJECTION)

    def put_manifest(self, name: RepositoryName, digest: Digest, content: bytes) -> None:
        """Write a manifest's bytes where registry:2 keeps blobs, then the link that gives them to a repository."""
        data = self._root / layout.blob_data(digest)
        if _size(data) != len(content):
            self._write(data, content)
        self._link(layout.revision_link(name, digest), digest)

    def put_tag(self, name: RepositoryName, tag: Tag, digest: Digest) -> None:
        """Let a tag name a manifest; in registry:2's order, the index link first."""
        self._link(layout.tag_index_link(name, tag, digest), digest)
        self._link(layout.tag_current_link(name, tag), digest)

    def put_layer(self, name: RepositoryName, digest: Digest, stored_as: Digest) -> None:
        """Link a blob into a repository, to the digest under which its bytes lie."""
        self._link(layout.layer_link(name, digest), stored_as)

    def remove_tag(self, name: RepositoryName, tag: Tag) -> None:
        """Remove a tag with what it named before, as registry:2 does."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._root / layout.tag_folder(name, tag))

    def remove_revision(self, name: RepositoryName, digest: Digest) -> None:
        """Take a manifest from a repository; its bytes stay until collection."""
        self._unlink(layout.revision_link(name, digest))

    def remove_layer(self, name: RepositoryName, digest: Digest) -> None:
        """Take a blob from a repository; its bytes stay until collection."""
        self._unlink(layout.layer_link(name, digest))

    def remove_repository(self, name: RepositoryName) -> None:
        """Remove all links of a repository; those nested below it, and its open uploads, stay."""
        for folder in (layout.tags(name), layout.manifests(name), layout.layers(name)):
            with suppress(FileNotFoundError):
                shutil.rmtree(self._root / folder)

    def changed_at(self, path: str) -> int:
        """Give the time of a link in microseconds since the epoch; 0 when there is none."""
        try:
            return (self._root / path).stat().st_mtime_ns // 1000
        except OSError:
            return 0

    def written_since(self, path: str, at: int, *, but: Digest | None = None) -> int:
        """Give the time of a link that was written after a time and names something else than `but`; 0 for none.

        One from the future says nothing: it was written before the clock was set back, or by another clock than ours.
        """
        changed = self.changed_at(path)
        is_younger = at < changed <= clock.now()
        return changed if is_younger and (but is None or _read(self._root / path) != str(but).encode()) else 0

    def has_younger(self, name: RepositoryName, at: int) -> bool:
        """Tell whether a repository has a link that was written after a time in microseconds since the epoch."""
        walks = (os.walk(self._root / folder) for folder in (layout.manifests(name), layout.layers(name)))
        links = (f"{folder}/link" for walk in walks for folder, _, files in walk if "link" in files)
        return any(self.written_since(link, at) for link in links)

    def _unlink(self, path: str) -> None:
        with suppress(FileNotFoundError):
            (self._root / path).unlink()

    def _link(self, path: str, digest: Digest) -> None:
        target = self._root / path
        content = str(digest).encode()
        if _read(target) != content:
            self._write(target, content)

    def _write(self, target: Path, content: bytes) -> None:
        """Replace a file in one step; registry:2 ignores names ending in .tmp."""
        temporary = target.with_name(f"{target.name}.{secrets.token_hex(8)}.tmp")
        descriptor = _create(temporary)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _create(path: Path) -> int:
    """Create a file in a folder that is made if it is missing; a collection may remove it again before it is used."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(FileNotFoundError):
            path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
