"""Bytes into pieces and back: as they are, or sealed with the operator's key."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from entrepot.backup import cipher, layout
from entrepot.backup.errors import BackupError, PieceDamaged, PieceMissing, WrongKey
from entrepot.backup.ports import BackupTarget
from entrepot.oci.digest import Digest
from entrepot.vault.master import MasterKeys

_VERSION = 1
_SEALED = "sealed"
_LARGEST_FORM = 4096


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of one target, as what was put into them."""

    target: BackupTarget
    #: None where pieces are not sealed.
    key: bytes | None = field(default=None, repr=False)

    @property
    def is_sealed(self) -> bool:
        """Tell whether nobody can read the pieces without the key."""
        return self.key is not None

    def blob(self, digest: Digest) -> str:
        """Name the piece of a blob."""
        if self.key is None:
            return layout.blob(digest.algorithm, digest.encoded)
        return layout.blob(_SEALED, hmac.digest(self.key, f"blob {digest}".encode(), hashlib.sha256).hex())

    def stored_size(self, size: int) -> int:
        """Return how many bytes a piece of so many has in the target."""
        return size if self.key is None else cipher.sealed_size(size)

    async def put(self, name: str, content: AsyncIterator[bytes]) -> int:
        """Store a piece; return its bytes in the target."""
        if self.key is None:
            return await self.target.put(name, content)
        async with aclosing(cipher.seal(self.key, name, content)) as sealed:
            return await self.target.put(name, sealed)

    async def get(self, name: str) -> AsyncGenerator[bytes, None]:
        """Read what was put into a piece.

        Raises:
            PieceDamaged: It was changed; only a sealed one tells by itself.
            PieceMissing: There is none.
        """
        async with aclosing(self.target.get(name)) as stored:
            if self.key is None:
                async for piece in stored:
                    yield piece
                return
            async with aclosing(cipher.unseal(self.key, name, stored)) as content:
                async for piece in content:
                    yield piece

    async def read(self, name: str, limit: int) -> bytes:
        """Read all of a small piece.

        Raises:
            PieceDamaged: It was changed, or has more than `limit` bytes.
            PieceMissing: There is none.
        """
        found = bytearray()
        async with aclosing(self.get(name)) as content:
            async for piece in content:
                found += piece
                if len(found) > limit:
                    raise PieceDamaged(name, f"it has more than {limit} bytes")
        return bytes(found)


async def open_pieces(target: BackupTarget, keys: MasterKeys | None, *, create: bool = False) -> Pieces:
    """Look at the form of a target, and find the key that fits.

    Args:
        target: Where the pieces are.
        keys: The operator's keys, if any.
        create: Whether an empty target becomes one, sealed with the first key where there is one.

    Raises:
        BackupError: It holds something else.
        WrongKey: It is sealed and no key fits, or it is not and a key was given.
    """
    plain = Pieces(target)
    try:
        form = _parsed(await plain.read(layout.FORM, _LARGEST_FORM))
    except PieceMissing:
        if not create:
            raise BackupError("there are no backups here; entrepot backup create makes the first") from None
        return await _begin(target, keys)
    if form.get("key") is None:
        if keys is not None:
            raise WrongKey("the backups here are not encrypted; leave the key out, or back up to another place")
        return plain
    wanted = str(form["key"])
    if keys is None:
        raise WrongKey(f"the backups here are encrypted with the key {wanted}; give its file with --key")
    if wanted not in keys.known:
        given = ", ".join(keys.known)
        raise WrongKey(f"the backups here are encrypted with the key {wanted}, and the one given is {given}")
    return Pieces(target, keys.known[wanted].secret)


async def _begin(target: BackupTarget, keys: MasterKeys | None) -> Pieces:
    async for name in target.names(""):
        raise BackupError(f"this is no place for backups: there is {name} in it; name an empty or a new folder")
    form = {"version": _VERSION, "key": None if keys is None else keys.current.id}
    await target.put(layout.FORM, once(json.dumps(form).encode() + b"\n"))
    await target.settle()
    return Pieces(target, None if keys is None else keys.current.secret)


def _parsed(content: bytes) -> dict[str, object]:
    try:
        form = json.loads(content)
        version = form["version"]
    except (ValueError, KeyError, TypeError):
        raise PieceDamaged(layout.FORM, "it is not what Entrepot writes") from None
    if version != _VERSION:
        raise BackupError(f"these backups have version {version}, and this Entrepot reads version {_VERSION}")
    found: dict[str, object] = form
    return found


async def once(content: bytes) -> AsyncIterator[bytes]:
    """Give bytes as a stream."""
    yield content
