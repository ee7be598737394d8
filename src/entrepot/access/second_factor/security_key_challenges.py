"""What security keys are asked to sign: random, good once, for five minutes, and only where it was asked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from entrepot.access.faults import Forbidden
from entrepot.access.model import Principal
from entrepot.metadata import clock
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.people import challenges
from entrepot.metadata.people.challenges import ChallengeRecord

#: Seconds that somebody has to find the key and touch it.
PATIENCE: Final = 300
_BYTES: Final = 32
#: Of an account's challenges those beyond this many end, the oldest first.
_KEEP: Final = 10
GONE: Final = "it took too long, was used already, or began elsewhere; begin again"


class Purpose(StrEnum):
    """What an answer is good for."""

    REGISTER = "register"
    SIGN_IN = "sign in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Of whom something was asked."""

    account: int
    epoch: int


class KeyChallenges:
    """Makes challenges, and takes each back once."""

    def __init__(self, work: Database, *, now: Callable[[], int] = clock.now) -> None:
        self._work = work
        self._now = now

    async def put(self, purpose: Purpose, principal: Principal, place: str) -> bytes:
        """Make a challenge for an account; `place` is what the answer must come with, too."""
        assert principal.id is not None  # only accounts have keys
        challenge, now = secrets.token_bytes(_BYTES), self._now()
        record = ChallengeRecord(
            hash=_hash(challenge),
            purpose=purpose,
            principal_id=principal.id,
            epoch=principal.epoch,
            place=_hash(place.encode()),
            expires_at=now + PATIENCE * clock.MICROSECONDS,
        )
        await self._work.write(lambda tx: challenges.add(tx, record, keep=_KEEP, now=now), name="ask security key")
        return challenge

    async def take(self, purpose: Purpose, challenge: bytes, place: str) -> Asked:
        """Use a challenge up, and return of whom it was asked.

        Raises:
            Forbidden: There is none that counts.
        """

        async def take(tx: Transaction) -> ChallengeRecord | None:
            return await challenges.take(tx, _hash(challenge))

        found = await self._work.write(take, name="hear security key")
        if found is None or found.expires_at <= self._now():
            raise Forbidden(GONE)
        if found.purpose != purpose or found.place != _hash(place.encode(errors="replace")):
            raise Forbidden(GONE)
        return Asked(account=found.principal_id, epoch=found.epoch)


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
