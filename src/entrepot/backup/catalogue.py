"""The backups of a target: what each of them is, and the blobs that it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, dataclass

from entrepot.backup import layout
from entrepot.backup.compression import compress, decompress
from entrepot.backup.errors import NoBackup, PieceDamaged, PieceMissing
from entrepot.backup.sealed_pieces import Pieces, once
from entrepot.oci.digest import Digest
from entrepot.oci.errors import DigestInvalid

_LARGEST_INFO = 16 * 1024 * 1024
_LINES_A_PIECE = 5_000
#: What stands for the newest backup.
LATEST = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupInfo:
    """One backup."""

    id: str
    created_at: int  #: the moment of which the metadata are, in microseconds since the epoch
    finished_at: int
    version: str  #: of Entrepot
    schema: int  #: of the metadata
    blobs: int
    bytes: int  #: of the blobs
    new_blobs: int  #: that no earlier backup had brought
    new_bytes: int
    database_sha256: str
    database_bytes: int
    blobs_sha256: str  #: of the list of blobs
    keys_sha256: str | None  #: of the registry's own keys, where the backup has them
    #: Blobs of the metadata whose bytes were damaged or missing when the backup was made: it does not have them.
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedBlob:
    """A blob that a backup needs."""

    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The backups of one target."""

    pieces: Pieces

    async def ids(self) -> list[str]:
        """List the ids of all complete backups, oldest first."""
        found = set()
        async for name in self.pieces.target.names(layout.BACKUPS):
            backup_id, _, what = name.removeprefix(layout.BACKUPS).partition("/")
            if what == layout.INFO and layout.BACKUP_ID.fullmatch(backup_id):
                found.add(backup_id)
        return sorted(found)

    async def list(self) -> list[BackupInfo]:
        """Describe all complete backups, oldest first.

        Raises:
            PieceDamaged: A description was changed.
        """
        return [await self.get(backup_id) for backup_id in await self.ids()]

    async def get(self, backup_id: str) -> BackupInfo:
        """Describe a backup; `latest` is the newest.

        Raises:
            NoBackup: There is none of this id, or none at all.
            PieceDamaged: The description was changed.
        """
        wanted = await self._latest() if backup_id == LATEST else backup_id
        if not layout.BACKUP_ID.fullmatch(wanted):
            raise NoBackup(f"{backup_id!a} is no id of a backup; entrepot backup list shows them")
        name = layout.part(wanted, layout.INFO)
        try:
            content = await self.pieces.read(name, _LARGEST_INFO)
        except PieceMissing:
            raise NoBackup(f"there is no backup {wanted} here; entrepot backup list shows those there are") from None
        return _parsed(name, content, wanted)

    async def _latest(self) -> str:
        ids = await self.ids()
        if not ids:
            raise NoBackup("there is no complete backup here yet")
        return ids[-1]

    async def put(self, info: BackupInfo) -> None:
        """Write down what a backup is, which completes it."""
        content = json.dumps(asdict(info), sort_keys=True).encode()
        checked = json.dumps({"info": content.decode(), "sha256": hashlib.sha256(content).hexdigest()}).encode()
        await self.pieces.put(layout.part(info.id, layout.INFO), once(checked))

    async def put_blobs(self, backup_id: str, blobs: AsyncIterator[ListedBlob]) -> str:
        """Write down the blobs that a backup needs, in the order of their digests; return the list's SHA-256."""
        hasher = hashlib.sha256()
        async with aclosing(_written(blobs, hasher)) as lines, aclosing(compress(lines)) as packed:
            await self.pieces.put(layout.part(backup_id, layout.BLOB_LIST), packed)
        return hasher.hexdigest()

    async def blobs(self, info: BackupInfo) -> AsyncGenerator[ListedBlob, None]:
        """Read the blobs that a backup needs, in the order of their digests.

        Raises:
            PieceDamaged: The list was changed; raised at its end at the latest.
            PieceMissing: It is gone.
        """
        name = layout.part(info.id, layout.BLOB_LIST)
        hasher, rest = hashlib.sha256(), b""
        async with aclosing(self.pieces.get(name)) as packed, aclosing(decompress(name, packed)) as content:
            async for piece in content:
                hasher.update(piece)
                lines = (rest + piece).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    yield _listed(name, line)
        if rest or hasher.hexdigest() != info.blobs_sha256:
            raise PieceDamaged(name, "it is not the list that was written")


def _parsed(name: str, content: bytes, backup_id: str) -> BackupInfo:
    try:
        outer = json.loads(content)
        text = str(outer["info"]).encode()
        if hashlib.sha256(text).hexdigest() != outer["sha256"]:
            raise PieceDamaged(name, "its digest is wrong")
        fields = json.loads(text)
        info = BackupInfo(**{**fields, "lost": tuple(fields["lost"])})
    except (ValueError, KeyError, TypeError):
        raise PieceDamaged(name, "it is not what Entrepot writes") from None
    if info.id != backup_id:
        raise PieceDamaged(name, f"it describes the backup {info.id}")
    return info


def _listed(name: str, line: bytes) -> ListedBlob:
    try:
        digest, size = line.decode("ascii").split(" ")
        return ListedBlob(Digest.parse(digest), int(size))
    except (ValueError, DigestInvalid):
        raise PieceDamaged(name, "a line of it is no digest and size") from None


async def _written(blobs: AsyncIterator[ListedBlob], hasher: hashlib._Hash) -> AsyncGenerator[bytes, None]:
    lines: list[bytes] = []
    async for blob in blobs:
        lines.append(b"%s %d\n" % (str(blob.digest).encode(), blob.size))
        if len(lines) == _LINES_A_PIECE:
            yield _hashed(lines, hasher)
            lines = []
    yield _hashed(lines, hasher)


def _hashed(lines: list[bytes], hasher: hashlib._Hash) -> bytes:
    joined = b"".join(lines)
    hasher.update(joined)
    return joined
