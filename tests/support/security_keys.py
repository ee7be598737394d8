"""Security keys over a database, with keys in software and somebody to use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.second_factor.password_alone import SecondFactorPasswords
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.access.second_factor.security_key_answers import Assertion, Registration, RelyingParty
from entrepot.access.second_factor.security_key_sign_in import Assertions, Question
from entrepot.access.second_factor.security_keys import Registered, SecurityKeys
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import principals, users
from entrepot.metadata.query import RawQuery
from entrepot.metadata.work_tables import work_metadata
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from tests.support.authenticator import ORIGIN, SoftKey
from tests.support.databases import create_all

PARTY = RelyingParty(host="registry.test", origin=ORIGIN)
BY = Source(name="alice", address="192.0.2.1", credential="session")
HERE = "192.0.2.1"
_EVENTS = RawQuery("SELECT kind, subject, detail FROM events ORDER BY id")


class Passwords:
    """Everybody's password is the name; `key` signs in as a key does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, basic: Basic, client: str) -> Principal:
        """See `PasswordVerifier`."""
        found = await principals.find(self._database, principals.USER, basic.username)
        if found is None or basic.password not in (basic.username, "key"):
            raise CredentialsRefused
        key = 7 if basic.password == "key" else None
        return Principal(kind=PrincipalKind.USER, name=found.name, id=found.id, epoch=found.epoch, key=key)


@dataclass
class Place:
    """The use cases, and the rows below them."""

    database: Database
    keys: SecurityKeys
    assertions: Assertions
    factors: SecondFactors
    verifier: SecondFactorPasswords
    now: list[int]

    async def who(self, name: str = "alice") -> Principal:
        """Return an account as it is now."""
        found = await principals.find(self.database, principals.USER, name)
        assert found is not None
        return Principal(kind=PrincipalKind.USER, name=found.name, id=found.id, epoch=found.epoch)

    async def begin(self, name: str = "alice", *, place: str = "session") -> dict[str, Any]:
        """Begin to register."""
        return await self.keys.begin(await self.who(name), name, PARTY, place=place, client=HERE)

    async def complete(
        self, answer: dict[str, Any], name: str = "alice", called: str = "blue", *, place: str = "session"
    ) -> Registered:
        """Send what the browser says."""
        shown = Registration(**{**answer, "transports": tuple(answer["transports"])})
        return await self.keys.complete(await self.who(name), called, shown, PARTY, place=place, by=BY)

    async def register(self, key: SoftKey, name: str = "alice", called: str = "blue", **says: Any) -> Registered:
        """Register a key."""
        return await self.complete(key.create(await self.begin(name), **says), name, called)

    async def ask(self, name: str = "alice") -> Question:
        """Give the right password."""
        question = await self.assertions.ask(await self.who(name), PARTY)
        assert question is not None
        return question

    async def answer(self, ticket: str, answer: dict[str, str], party: RelyingParty = PARTY) -> Principal:
        """Send what a key has signed."""
        shown = Assertion(**answer)
        return await self.assertions.prove(await self.assertions.claim(ticket, shown), shown, party, HERE)

    async def sign_in(self, key: SoftKey, name: str = "alice", **says: Any) -> Principal:
        """Give the right password, and sign."""
        question = await self.ask(name)
        return await self.answer(question.ticket, key.get(question.options, **says))

    async def events(self) -> list[tuple[str, str]]:
        """Return what the log tells, the oldest first."""
        return [(f"{kind} {subject}", detail or "") for kind, subject, detail in await self.database.all(_EVENTS)]


async def make_place(database: Database, folder: Path) -> Place:
    """Give alice and bob, without keys, in a database that has all tables but those of work."""
    await create_all(database, work_metadata)
    for name in ("alice", "bob"):
        await database.write(lambda tx, name=name: users.add(tx, name, secret=name))
    vault, now = Vault(database, KeySource(folder, {})), [clock.now()]
    throttle, passwords = Throttle(), Passwords(database)
    factors = SecondFactors(database, vault, throttle)
    return Place(
        database=database,
        keys=SecurityKeys(database, database, vault, passwords, now=lambda: now[0]),
        assertions=Assertions(database, database, throttle, now=lambda: now[0]),
        factors=factors,
        verifier=SecondFactorPasswords(passwords, factors),
        now=now,
    )
