"""What a browser carries for us while its owner is at a provider, and while they choose a name.

The first is a sealed cookie, so that whoever only clicks leaves nothing in the database; the second is kept there, for
it holds what the provider told.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Final

from entrepot.accounts.providers.model import Arrival, Grip, Kept, SignInRefused, Told
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.people import pending_sign_ins
from entrepot.metadata.sealed import about
from entrepot.vault.errors import VaultError
from entrepot.vault.vault import Vault

#: Seconds that somebody may stay at the provider, and may think about a name.
PATIENCE: Final = 600
_STATE_BYTES: Final = 32
_PLACE: Final = "sign-in at a provider"
_TICKET_PLACE: Final = "strangers.payload"
_LONGEST_TICKET: Final = 64
_GONE: Final = "the sign-in took too long, or began in another browser; begin again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """Somebody on the way to a provider and back."""

    provider: str
    redirect_uri: str
    back_to: str  #: local path to go on to
    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody a provider vouched for, who has no account here yet."""

    provider: str
    arrival: Arrival
    back_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Names a stranger to us."""

    secret: str = field(repr=False)


def begin(provider: str, redirect_uri: str, back_to: str) -> Journey:
    """Make what no one else can guess."""
    kept = Kept(
        state=secrets.token_urlsafe(_STATE_BYTES),
        nonce=secrets.token_urlsafe(_STATE_BYTES),
        verifier=secrets.token_urlsafe(48),
    )
    return Journey(provider=provider, redirect_uri=redirect_uri, back_to=back_to, kept=kept)


class Journeys:
    """Seals journeys for their cookie."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def seal(self, journey: Journey) -> str:
        """Return the cookie's value."""
        document = {
            "provider": journey.provider,
            "redirect_uri": journey.redirect_uri,
            "back_to": journey.back_to,
            "nonce": journey.kept.nonce,
            "verifier": journey.kept.verifier,
            "until": clock.after(PATIENCE),
        }
        return await self._vault.seal(json.dumps(document), about(_PLACE, journey.kept.state))

    async def open(self, provider: str, state: str, cookie: str) -> Journey:
        """Return the journey of a state, which only the browser that began it has the cookie of.

        Raises:
            SignInRefused: It has not, or the journey took too long, or was to another provider.
        """
        try:
            document = json.loads(await self._vault.open(cookie, about(_PLACE, state)))
        except (VaultError, ValueError):
            raise SignInRefused(_GONE) from None
        if document["until"] <= clock.now() or document["provider"] != provider:
            raise SignInRefused(_GONE)
        return Journey(
            provider=provider,
            redirect_uri=document["redirect_uri"],
            back_to=document["back_to"],
            kept=Kept(state=state, nonce=document["nonce"], verifier=document["verifier"]),
        )


class Strangers:
    """Keeps those who choose a name."""

    def __init__(self, work: Database, vault: Vault) -> None:
        self._work = work
        self._vault = vault

    async def keep(self, stranger: Stranger) -> Ticket:
        """Keep what the provider told, and give the ticket for it."""
        ticket = Ticket(secret=secrets.token_urlsafe(32))
        hashed = _hash(ticket.secret)
        payload = await self._vault.seal(json.dumps(asdict(stranger)), about(_TICKET_PLACE, hashed))
        now = clock.now()
        end = now + PATIENCE * clock.MICROSECONDS
        await self._work.write(
            lambda tx: pending_sign_ins.add(tx, hashed, payload, expires_at=end, now=now), name="keep stranger"
        )
        return ticket

    async def find(self, ticket: Ticket) -> Stranger:
        """Return whom a ticket names.

        Raises:
            SignInRefused: Nobody, any more.
        """
        hashed = _hash(ticket.secret[:_LONGEST_TICKET])
        payload = await pending_sign_ins.find(self._work, hashed, now=clock.now())
        try:
            document = (
                None if payload is None else json.loads(await self._vault.open(payload, about(_TICKET_PLACE, hashed)))
            )
        except VaultError:
            document = None
        if document is None:
            raise SignInRefused(_GONE)
        return _stranger(document)

    async def forget(self, ticket: Ticket) -> None:
        """Use a ticket up."""
        hashed = _hash(ticket.secret)
        await self._work.write(lambda tx: pending_sign_ins.remove(tx, hashed), name="forget stranger")


def _stranger(document: dict[str, object]) -> Stranger:
    arrival = document["arrival"]
    assert isinstance(arrival, dict)  # sealed by us
    told, grip = arrival["told"], arrival["grip"]
    return Stranger(
        provider=str(document["provider"]),
        back_to=str(document["back_to"]),
        arrival=Arrival(
            told=Told(**{**told, "groups": tuple(told["groups"])}),
            grip=None if grip is None else Grip(**grip),
            session=arrival["session"],
            hint=arrival["hint"],
        ),
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
