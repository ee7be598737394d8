"""Complete blobs in registry:2's folders: putting one there durably, finding and removing it.

All of it blocks and belongs into a thread, except `stat` and `path`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from entrepot.adapters.blobs.errors import translated
from entrepot.adapters.blobs.fs import Fs
from entrepot.oci.digest import ALGORITHMS, Digest
from entrepot.oci.errors import BlobUnknown
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob

#: How often a folder may be removed between making it and using it before that is somebody's fault.
_TRIES = 5


class BlobTree:
    """The folders below `docker/registry/v2/blobs`."""

    def __init__(self, fs: Fs, root: str) -> None:
        """Touch nothing yet."""
        self._fs = fs
        self._root = root
        self._durable: set[str] = set()

    def prepare(self) -> None:
        """Make the root folder, and those above it, if they are missing."""
        missing = []
        folder = self._root
        while not self._is_there(folder):
            missing.append(folder)
            folder = _above(folder)
        for made in reversed(missing):
            with suppress(FileExistsError):
                self._fs.make_folder(made)
            self._fs.sync_folder(_above(made))
        self._durable.add(self._root)

    def path(self, digest: Digest) -> str:
        """Say where the bytes of a blob are."""
        return f"{self._root}/{layout.blob_data(digest)}"

    @translated(BlobUnknown)
    def stat(self, digest: Digest) -> StoredBlob:
        """Describe a blob; one call short enough for the event loop."""
        status = self._fs.stat(self.path(digest))
        if not stat.S_ISREG(status.st_mode):
            raise BlobUnknown
        return _described(digest, status)

    def make_durable_folder(self, folder: str, mode: int = 0o777) -> None:
        """Make a folder of the tree and those above it, such that none is lost in a power cut.

        A folder that is there may be another process's, made this instant and not yet synced: so the first use in each
        process syncs its name too, whoever made it. Folders made here are never removed.
        """
        if folder in self._durable:
            return
        above = _above(folder)
        self.make_durable_folder(above)
        with suppress(FileExistsError):
            self._fs.make_folder(folder, mode)
        self._fs.sync_folder(above)
        self._durable.add(folder)

    def make_room(self, digest: Digest) -> None:
        """Make the folders above a blob's own."""
        self.make_durable_folder(f"{self._root}/{layout.blob_shard(digest)}")

    def move_in(self, source: str, digest: Digest) -> None:
        """Give a synced file the blob's name; it takes the place of an older copy in one step."""
        folder = f"{self._root}/{layout.blob_folder(digest)}"
        for _ in range(_TRIES):
            with suppress(FileExistsError):
                self._fs.make_folder(folder)
            with suppress(FileNotFoundError):  # `remove` took the folder away again
                self._fs.rename(source, f"{folder}/data")
                return
        raise FileNotFoundError(source)

    def sync_names(self, digest: Digest) -> None:
        """Make a blob's name durable, and its folder's, which another process may have made."""
        with suppress(FileNotFoundError):  # deleted again by now, which whoever did it makes durable
            self._fs.sync_folder(f"{self._root}/{layout.blob_folder(digest)}")
        self._fs.sync_folder(f"{self._root}/{layout.blob_shard(digest)}")

    @translated(BlobUnknown)
    def remove(self, digest: Digest) -> None:
        """Remove a blob, durably, also when an earlier removal got stuck half-way."""
        folder = f"{self._root}/{layout.blob_folder(digest)}"
        with suppress(FileNotFoundError):
            self._fs.unlink(f"{folder}/data")
        with suppress(FileNotFoundError):
            self._remove_folder(folder)
        with suppress(FileNotFoundError):
            self._fs.sync_folder(f"{self._root}/{layout.blob_shard(digest)}")

    def shards(self) -> list[tuple[str, str]]:
        """List the folders that blobs are spread over, as algorithm and first two digits, in order."""
        blobs = f"{self._root}/{layout.BLOBS}"
        return [(name, shard) for name in sorted(ALGORITHMS) for shard in sorted(self._names(f"{blobs}/{name}"))]

    def in_shard(self, algorithm: str, shard: str, after: str) -> list[Digest]:
        """List the blobs in one of these folders behind a digest, in order, without a look at any of them."""
        names = sorted(self._names(f"{self._root}/{layout.BLOBS}/{algorithm}/{shard}"))
        digests = (layout.blob_at(algorithm, shard, name) for name in names)
        return [digest for digest in digests if digest and str(digest) > after]

    def describe(self, digests: Sequence[Digest]) -> list[StoredBlob]:
        """Describe those blobs that are there."""
        return [blob for digest in digests for blob in self._found(digest)]

    def _is_there(self, folder: str) -> bool:
        try:
            self._fs.stat(folder)
        except FileNotFoundError:
            return False
        return True

    def _remove_folder(self, folder: str) -> None:
        try:
            self._fs.remove_folder(folder)
        except OSError:
            # Not empty: a push is putting the blob back this instant, or there are files that are not ours.
            self._fs.sync_folder(folder)

    def _found(self, digest: Digest) -> Iterator[StoredBlob]:
        with suppress(BlobUnknown):
            yield self.stat(digest)

    @translated(BlobUnknown)
    def _names(self, folder: str) -> list[str]:
        try:
            return self._fs.names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []


def _described(digest: Digest, status: os.stat_result) -> StoredBlob:
    # A file that gets another name is changed, though not written to.
    placed_at = max(status.st_mtime_ns, status.st_ctime_ns) // 1000
    return StoredBlob(
        key=str(digest),
        size=status.st_size,
        inode=status.st_ino,
        mtime_ns=status.st_mtime_ns,
        placed_at=placed_at,
    )


def _above(folder: str) -> str:
    return str(Path(folder).parent)
