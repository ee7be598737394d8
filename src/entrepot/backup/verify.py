"""Reading a backup again: every piece that it needs is there and holds what was put into it, or is named."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import dataclass, field

from entrepot.backup import layout
from entrepot.backup.blob_copies import BytesWrong, verified
from entrepot.backup.catalogue import BackupInfo, Catalogue, ListedBlob
from entrepot.backup.compression import decompress
from entrepot.backup.errors import PieceDamaged, PieceMissing
from entrepot.backup.sealed_pieces import Pieces
from entrepot.registry.worker_pool import together
from entrepot.telemetry.progress import Progress

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """A piece that is missing or damaged."""

    what: str  #: `blob sha256:…`, `database`, `keys`, `blobs` (the list)
    name: str  #: of the piece in the target
    problem: str


@dataclass(slots=True)
class Verified:
    """What the reading of a backup brought."""

    backup: str
    pieces: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)


@dataclass(slots=True)
class Verification:
    """Reads one backup."""

    pieces: Pieces
    info: BackupInfo
    progress: Progress
    #: Look only whether the pieces of blobs are there and have the right length.
    quick: bool = False
    result: Verified = field(init=False)

    def __post_init__(self) -> None:
        self.result = Verified(self.info.id)

    async def run(self) -> Verified:
        """Do it.

        Raises:
            Stopped: Somebody asked it to end.
        """
        await self._part(layout.DATABASE, self.info.database_sha256)
        if self.info.keys_sha256 is not None:
            await self._part(layout.KEYS, self.info.keys_sha256)
        listed = Catalogue(self.pieces).blobs(self.info)
        try:
            async with aclosing(listed):
                await together(listed, self._blob, at_once=_AT_ONCE)
        except (PieceDamaged, PieceMissing) as error:
            await self._fault("blobs", error.name, error.message)
        return self.result

    async def _part(self, what: str, wanted: str) -> None:
        """Read the database or the keys."""
        name = layout.part(self.info.id, what)
        try:
            actual = await self._digest(name, packed=what == layout.DATABASE)
        except (PieceDamaged, PieceMissing) as error:
            await self._fault(what, name, error.message)
        else:
            if actual != wanted:
                await self._fault(what, name, f"{name} is damaged: it has another digest")
        self.result.pieces += 1

    async def _digest(self, name: str, *, packed: bool) -> str:
        hasher = hashlib.sha256()
        stored = self.pieces.get(name)
        async with aclosing(stored), aclosing(decompress(name, stored) if packed else stored) as content:
            async for piece in content:
                hasher.update(piece)
        return hasher.hexdigest()

    async def _blob(self, blob: ListedBlob) -> None:
        name = self.pieces.blob(blob.digest)
        problem = await self._problem(name, blob)
        if problem is not None:
            await self._fault(f"blob {blob.digest}", name, problem)
        self.result.pieces += 1
        self.result.bytes += blob.size
        await self.progress.step(self.result.bytes, max(self.info.bytes, self.result.bytes))

    async def _problem(self, name: str, blob: ListedBlob) -> str | None:
        size = await self.pieces.target.size(name)
        if size is None:
            return f"{name} is missing"
        if size != self.pieces.stored_size(blob.size):
            return f"{name} is damaged: it has another length"
        if self.quick:
            return None
        try:
            async with aclosing(verified(self.pieces.get(name), blob.digest)) as content:
                async for _ in content:
                    pass
        except BytesWrong:
            return f"{name} is damaged: it has another digest"
        except (PieceDamaged, PieceMissing) as error:
            return error.message
        return None

    async def _fault(self, what: str, name: str, problem: str) -> None:
        self.result.faults.append(Fault(what, name, problem))
        await self.progress.say(f"{what}: {problem}")


async def remove_damaged(pieces: Pieces, faults: list[Fault]) -> int:
    """Remove pieces of blobs that are damaged, so that the next backup brings them again; return how many.

    Raises:
        TargetBusy: Somebody else is changing the target.
    """
    damaged = {fault.name for fault in faults if fault.name.startswith(layout.BLOBS)}
    async with pieces.target.alone():
        for name in sorted(damaged):
            await pieces.target.delete(name)
    return len(damaged)
