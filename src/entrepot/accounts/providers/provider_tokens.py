"""Grips and farewells in the form in which the vault keeps them: one text in `users.refresh` for each account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from entrepot.accounts.providers.model import Grip
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.people import provider_tokens
from entrepot.metadata.sealed import REFRESH, about
from entrepot.vault.errors import VaultError
from entrepot.vault.vault import Vault

#: Sessions at the provider for which we remember what to say at the end; older ones end without it.
_MOST_HINTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is kept of an account's provider."""

    grip: Grip | None
    hints: Mapping[str, str] = field(default_factory=dict, repr=False)  #: by session

    def with_hint(self, session: str, hint: str) -> Held:
        """Return the same with what to say when a session ends; the oldest is forgotten when they become many."""
        if not session or not hint:
            return self
        others = {name: text for name, text in self.hints.items() if name != session}
        newest = list(others.items())[-(_MOST_HINTS - 1) :]
        return Held(grip=self.grip, hints={**dict(newest), session: hint})


class Grips:
    """Keeps them sealed."""

    def __init__(self, metadata: Database, vault: Vault) -> None:
        self._metadata = metadata
        self._vault = vault

    async def find(self, user_id: int) -> Held:
        """Return what is kept of an account; nothing where nothing is, or where it can no longer be opened."""
        sealed = await provider_tokens.find(self._metadata, user_id)
        try:
            return Held(grip=None) if sealed is None else await self.open(user_id, sealed)
        except VaultError:
            return Held(grip=None)

    async def open(self, user_id: int, sealed: str) -> Held:
        """Return what a sealed text holds.

        Raises:
            VaultError: It cannot be opened.
        """
        document = json.loads(await self._vault.open(sealed, about(REFRESH, user_id)))
        return Held(grip=_read(document), hints=document.get("hints", {}))

    async def put(self, user_id: int, held: Held, *, at: int) -> None:
        """Keep what a sign-in brought."""
        sealed = None if held.grip is None and not held.hints else await self._seal(user_id, held)
        asked = at if held.grip is not None else None
        await self._metadata.write(lambda tx: provider_tokens.put(tx, user_id, sealed, at=asked), name="keep grip")

    async def replace(self, user_id: int, sealed: str, used: Grip, new: Grip) -> None:
        """Keep what a provider gave in place of what we asked with.

        A sign-in meanwhile has brought a newer one, which stays; a rotation of the vault's keys meanwhile has only
        changed the seal.
        """
        while True:
            held = await self.open(user_id, sealed)
            if held.grip != used:
                return
            wanted = await self._seal(user_id, Held(grip=new, hints=held.hints))
            if await self._swap(user_id, sealed, wanted):
                return
            now = await provider_tokens.find(self._metadata, user_id)
            if now is None:
                return
            sealed = now

    async def let_go(self, user_id: int, sealed: str) -> None:
        """Keep no grip of an account any more, unless a sign-in has brought another one meanwhile."""
        held = await self.open(user_id, sealed)
        without = await self._seal(user_id, Held(grip=None, hints=held.hints)) if held.hints else None

        async def work(tx: Transaction) -> None:
            if await provider_tokens.find(tx, user_id) == sealed:
                await provider_tokens.put(tx, user_id, without, at=None)

        await self._metadata.write(work, name="let grip go")

    async def _swap(self, user_id: int, old: str, new: str) -> bool:
        async def work(tx: Transaction) -> bool:
            return await provider_tokens.swap(tx, user_id, old=old, new=new)

        return await self._metadata.write(work, name="replace grip")

    async def _seal(self, user_id: int, held: Held) -> str:
        document = {**_written(held.grip), "hints": dict(held.hints)}
        return await self._vault.seal(json.dumps(document), about(REFRESH, user_id))


def _written(grip: Grip | None) -> dict[str, object]:
    """Write a grip; one that nothing renews has a place of its own, where programs of schema 4 do not look.

    They would take it for a refresh token, be refused, and close the account.
    """
    if grip is None:
        return {"grip": None}
    kept = {"token": grip.token, "refresh": grip.refresh, "ends_at": grip.ends_at}
    return {"grip": kept} if grip.is_lasting else {"grip": None, "passing": kept}


def _read(document: Mapping[str, Any]) -> Grip | None:
    if document["grip"] is not None:
        return Grip(**document["grip"])
    passing = document.get("passing")
    return None if passing is None else Grip(**passing, is_lasting=False)
