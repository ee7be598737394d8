"""Changing one's own password in a registry as it is deployed, with every way to sign in."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from entrepot.access.api_keys import hash_key, hint_of, new_key
from entrepot.access.errors import OneTimeCodeNeeded
from entrepot.access.faults import Forbidden
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.throttle import FREE
from entrepot.accounts.user_passwords import UserPasswords
from entrepot.adapters.identity.accounts import hash_password
from entrepot.metadata.events import Source
from entrepot.metadata.people import api_keys, principals, users
from entrepot.oci.errors import TooManyRequests
from tests.support.access_modes import SignInRegistry, registry_with

BY = Source(name="alice", credential="session", address="192.0.2.7")
OLD, NEW = "four sheep in a field", "seven boats at anchor"


async def alice_in(registry: SignInRegistry) -> Principal:
    """Return the account as it is now; make it first."""
    database = registry.app.stores.metadata
    await database.write(lambda tx: users.add(tx, "alice", secret=hash_password(OLD)))
    record = await principals.find(database, principals.USER, "alice")
    assert record is not None
    return Principal(kind=PrincipalKind.USER, name="alice", id=record.id, epoch=record.epoch)


def passwords_of(registry: SignInRegistry) -> UserPasswords:
    """Return the use cases."""
    access = registry.access
    assert access.local_passwords is not None
    return UserPasswords(registry.app.stores.metadata, access.authorizer, hash_password, access.local_passwords)


async def turn_on(registry: SignInRegistry, alice: Principal) -> None:
    """Give alice a second factor."""
    factors = registry.access.second_factors
    assert factors is not None
    enrolment = await factors.enrol(alice, "Registry")
    code = TOTP(base64.b32decode(enrolment.secret), 6, SHA1(), 30).generate(time.time()).decode()
    await factors.confirm(alice, code, BY)


async def test_who_has_a_second_factor_changes_their_password_with_the_old_one(tmp_path: Path) -> None:
    """No code is asked for, and it goes on being asked for when one signs in with the new password."""
    async with registry_with(tmp_path, None) as registry:
        alice = await alice_in(registry)
        assert alice.id is not None
        await turn_on(registry, alice)
        passwords, people = passwords_of(registry), registry.access.people
        with pytest.raises(Forbidden, match="old password is wrong"):
            await passwords.change_own(alice.id, NEW, NEW, by=BY)
        await passwords.change_own(alice.id, OLD, NEW, by=BY)
        assert people is not None
        with pytest.raises(OneTimeCodeNeeded):
            await people.verify(Basic("alice", NEW), BY.address)


async def test_an_api_key_is_no_old_password(tmp_path: Path) -> None:
    """Whoever finds a key cannot take the account with it, and guesses are counted."""
    async with registry_with(tmp_path, None) as registry:
        account = (await alice_in(registry)).id
        assert account is not None
        key = new_key()
        await registry.app.stores.metadata.write(
            lambda tx: api_keys.add(
                tx, account, name="ci", hashed=hash_key(key), hint=hint_of(key), limits=None, expires_at=None
            )
        )
        passwords, people = passwords_of(registry), registry.access.people
        assert people is not None
        assert (await people.verify(Basic("alice", key), BY.address)).name == "alice"
        with pytest.raises(Forbidden, match="old password is wrong"):
            await passwords.change_own(account, key, NEW, by=BY)
        for number in range(FREE - 1):
            with pytest.raises(Forbidden):
                await passwords.change_own(account, f"guess {number}", NEW, by=BY)
        with pytest.raises(TooManyRequests):
            await passwords.change_own(account, OLD, NEW, by=BY)
