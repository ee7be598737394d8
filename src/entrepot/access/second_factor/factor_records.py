"""What is kept of somebody's one-time codes and recovery codes, sealed and opened."""

from __future__ import annotations

import json
from dataclasses import dataclass

from entrepot.access.faults import NotFound
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.second_factor.totp import Seed, hash_recovery_code, new_recovery_codes
from entrepot.metadata import events, sealed
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.metadata.people import second_factors
from entrepot.metadata.people.second_factors import SecondFactorRecord
from entrepot.vault.vault import Vault

NOTHING = SecondFactorRecord(None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is kept of one account."""

    record: SecondFactorRecord  #: as it is stored
    seed: Seed | None  #: of the app; counts once it is confirmed

    @property
    def codes_are_on(self) -> bool:
        """Tell whether the app's codes count."""
        return self.seed is not None and self.seed.confirmed


class FactorRecords:
    """Reads and seals."""

    def __init__(self, metadata: Database, vault: Vault) -> None:
        self._metadata = metadata
        self._vault = vault

    async def open(self, account: int) -> Opened:
        """Return what is kept of an account."""
        record = await second_factors.find(self._metadata, account)
        if record.totp is None:
            return Opened(record=record, seed=None)
        text = await self._vault.open(record.totp, sealed.about(sealed.TOTP, account))
        return Opened(record=record, seed=Seed.from_text(text))

    async def recovery(self, account: int, record: SecondFactorRecord) -> list[str]:
        """Return the hashes of the recovery codes that are left."""
        if record.recovery is None:
            return []
        text = await self._vault.open(record.recovery, sealed.about(sealed.RECOVERY, account))
        return [str(each) for each in json.loads(text)]

    async def seal_seed(self, account: int, seed: Seed) -> str:
        """Return what to store of a seed."""
        return await self._vault.seal(seed.to_text(), sealed.about(sealed.TOTP, account))

    async def seal_recovery(self, account: int, hashes: list[str]) -> str:
        """Return what to store of recovery codes."""
        return await self._vault.seal(json.dumps(hashes), sealed.about(sealed.RECOVERY, account))

    async def new_recovery(self, account: int) -> tuple[list[str], str]:
        """Make recovery codes; return them, to be shown once, and what to store of them."""
        codes = new_recovery_codes()
        return codes, await self.seal_recovery(account, [hash_recovery_code(each) for each in codes])


async def note_change(tx: Transaction, name: str, by: Source, what: str, **more: str) -> None:
    """Write into the audit log what was changed of somebody's second factor."""
    await events.add(tx, events.UPDATE, by=by, subject=f"user:{name}", detail={"second factor": what, **more})


def require_account(principal: Principal) -> int:
    """Return the account of a person.

    Raises:
        NotFound: The caller is no person with an account.
    """
    if principal.id is None or principal.kind is not PrincipalKind.USER:
        raise NotFound("only people with an account here have a second factor")
    return principal.id
