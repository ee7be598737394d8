"""Open uploads as files: received, verified, and handed to the tree as blobs."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from entrepot.adapters.blobs.boot import mark_uploads_of_older_boots
from entrepot.adapters.blobs.errors import is_full, translated
from entrepot.adapters.blobs.fs import Fs
from entrepot.adapters.blobs.hashers import LiveHash, LiveHashes
from entrepot.adapters.blobs.piece_size import piece_size
from entrepot.adapters.blobs.pipeline import Pipeline
from entrepot.adapters.blobs.threads import Threads
from entrepot.adapters.blobs.tree import BlobTree
from entrepot.adapters.blobs.upload_file import HasRoom, Identity, UploadFile
from entrepot.oci.digest import Digest
from entrepot.oci.errors import BlobUploadInvalid, BlobUploadUnknown, DigestInvalid, RegistryError, UploadRangeInvalid
from entrepot.registry import layout
from entrepot.registry.ports import StoredBlob, UploadProgress

#: Sealed uploads whose publishing is still to come; the process forgets the oldest, which then have to be sealed again.
_SEALED = 4096
_READ_BACK = 1 << 20


class _Seal(NamedTuple):
    """What was verified: if the file is another at publishing, somebody wrote to it in between."""

    digest: Digest
    identity: Identity


class Uploads:
    """The uploads of one root folder, as one process sees them."""

    def __init__(self, fs: Fs, threads: Threads, tree: BlobTree, root: str, has_room: HasRoom) -> None:
        """Touch nothing yet."""
        self._fs = fs
        self._threads = threads
        self._tree = tree
        self._root = root
        self._has_room = has_room
        self._hashes = LiveHashes()
        self._seals: OrderedDict[str, _Seal] = OrderedDict()
        self._receiving = 0

    def prepare(self, boot: str) -> None:
        """Make the folder of the uploads, and look what the last power cut left there."""
        # Nobody but the registry has business with half blobs, or with the databases beside them.
        self._tree.make_durable_folder(f"{self._root}/{layout.OWN}", 0o700)
        self._tree.make_durable_folder(f"{self._root}/{layout.UPLOADS}", 0o700)
        mark_uploads_of_older_boots(self._fs, f"{self._root}/{layout.UPLOADS}", boot)

    @translated(BlobUploadUnknown)
    def create(self, upload_id: str) -> None:
        """Make an empty upload; blocks."""
        path = self._path(upload_id)
        try:
            file = self._fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            raise BlobUploadInvalid("an upload of this id is open already") from None
        try:
            self._fs.close(file)
        except OSError:
            self._fs.unlink(path)
            raise

    @translated(BlobUploadUnknown)
    def size(self, upload_id: str) -> int:
        """Ask for the length of an upload; one call short enough for the event loop."""
        return self._fs.stat(self._path(upload_id)).st_size

    async def append(
        self, upload_id: str, chunks: AsyncIterator[bytes], offset: int, algorithm: str, known: UploadProgress | None
    ) -> UploadProgress:
        """Add bytes at the end, hashing them on the way if this process has hashed all before them."""
        async with self._opened(upload_id) as file:
            if file.size != offset:
                raise UploadRangeInvalid(file.size)
            live = self._hashes.take(upload_id, algorithm, file.size)
            follows = live if live.offset == file.size else None
            try:
                await Pipeline(self._threads, file, follows).run(chunks, self._batch_size)
            finally:
                # Otherwise a write failed or was cut short, and the hasher has seen more than the file has.
                if follows is None or follows.offset == file.size:
                    self._hashes.keep(upload_id, live)
            return UploadProgress(offset=file.size, hashed=_at_hand(file, live, known))

    async def seal(self, upload_id: str, expected: Digest, known: UploadProgress | None) -> int:
        """Verify and sync an upload."""
        async with self._opened(upload_id) as file:
            live = self._hashes.take(upload_id, expected.algorithm, file.size)
            actual = _at_hand(file, live, known) or await self._read_back(file, live)
            self._hashes.keep(upload_id, live)
            if actual != expected:
                raise DigestInvalid(f"the {file.size} bytes received have the digest {actual}, not {expected}")
            await self._threads.call(file.sync)
            self._keep_seal(upload_id, _Seal(expected, file.identity()))
            return file.size

    async def publish(self, upload_id: str, digest: Digest) -> StoredBlob:
        """Give a sealed upload its place in the tree."""
        seal = self._seals.pop(upload_id, None)
        if seal is None or seal.digest != digest:
            raise BlobUploadInvalid(f"the upload was not verified to be {digest}")
        await self._threads.call(self._publish, upload_id, seal)
        self._hashes.forget(upload_id)
        identity = seal.identity
        return StoredBlob(key=str(digest), size=identity.size, inode=identity.inode, mtime_ns=identity.mtime_ns)

    async def cancel(self, upload_id: str) -> None:
        """Remove an upload; who is appending to it notices at the next batch."""
        self._hashes.forget(upload_id)
        self._seals.pop(upload_id, None)
        await self._threads.call(self._remove, upload_id)

    async def cancel_idle(self, upload_id: str, before: int) -> bool:
        """Remove an upload without bytes or with none since a time, under the lock of a request at work on it."""
        try:
            async with self._opened(upload_id) as file:
                written = await self._threads.call(file.identity)
                idle = written.size == 0 or written.mtime_ns // 1000 < before
                if idle:
                    await self._threads.call(file.drop)
                return idle
        except BlobUploadUnknown:
            return True
        except UploadRangeInvalid:
            return False

    @translated(BlobUploadUnknown)
    def all(self) -> list[tuple[str, int]]:
        """List the uploads and when each was last written to, in microseconds; blocks."""
        found = []
        for name in self._fs.names(f"{self._root}/{layout.UPLOADS}"):
            with suppress(FileNotFoundError, BlobUploadUnknown):
                found.append((name, self._fs.stat(self._path(name)).st_mtime_ns // 1000))
        return found

    def _path(self, upload_id: str) -> str:
        return f"{self._root}/{layout.upload(layout.UploadId.parse(upload_id))}"

    def _batch_size(self) -> int:
        return piece_size(self._receiving)

    @asynccontextmanager
    async def _opened(self, upload_id: str) -> AsyncIterator[UploadFile]:
        """Hold an upload's file open and locked; never leave it so, whatever happens."""
        file = UploadFile(self._fs, self._path(upload_id), self._has_room)
        self._receiving += 1
        try:
            await self._threads.call(file.open)
            yield file
            await self._threads.call(file.close)  # which may be where a network file system reports a failed write
        except BaseException:
            with suppress(RegistryError):
                await self._threads.call(file.close)
            raise
        finally:
            self._receiving -= 1

    async def _read_back(self, file: UploadFile, live: LiveHash) -> Digest:
        """Hash what the live hasher has not seen."""
        while live.offset < file.size:
            await self._threads.call(_take_in, file, live)
        return live.digest()

    def _keep_seal(self, upload_id: str, seal: _Seal) -> None:
        self._seals[upload_id] = seal
        if len(self._seals) > _SEALED:
            self._seals.popitem(last=False)

    def _publish(self, upload_id: str, seal: _Seal) -> None:
        file = UploadFile(self._fs, self._path(upload_id))
        try:
            file.open()
            if file.identity() != seal.identity:
                raise BlobUploadInvalid("the upload was written to after it had been verified; ask for its status")
            self._move(file, seal.digest)
        finally:
            file.close()

    @translated(BlobUploadUnknown)
    def _move(self, file: UploadFile, digest: Digest) -> None:
        try:
            file.clear_mark()
            self._tree.make_room(digest)
            self._tree.move_in(file.path, digest)
        except OSError as error:
            if is_full(error):
                file.drop()
            raise
        # From here on the file is a blob, perhaps one that others count on: a failure leaves it where it is.
        self._tree.sync_names(digest)

    @translated(BlobUploadUnknown)
    def _remove(self, upload_id: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.unlink(self._path(upload_id))


def _at_hand(file: UploadFile, live: LiveHash, known: UploadProgress | None) -> Digest | None:
    """Say the digest of the whole upload if that needs no reading."""
    if live.offset == file.size:
        return live.digest()
    if known is None or known.hashed is None or known.offset != file.size or file.of_older_boot:
        return None
    return known.hashed if known.hashed.algorithm == live.algorithm else None


def _take_in(file: UploadFile, live: LiveHash) -> None:
    data = file.read(live.offset, _READ_BACK)
    if not data:
        raise BlobUploadInvalid("the upload's file was cut by somebody else; start a new upload")
    live.update((data,))
