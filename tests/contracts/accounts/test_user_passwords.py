"""Passwords: changed by their owner, set by an administrator, or by a link that is good once."""

import asyncio

import pytest

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import Forbidden, Invalid, NotFound, PreconditionFailed
from entrepot.access.model import SYSTEM_TARGET, Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.passwords.guarded_passwords import GuardedPasswords
from entrepot.access.passwords.throttle import FREE, Throttle
from entrepot.access.permissions import Permission
from entrepot.adapters.identity.accounts import LocalAccounts
from entrepot.metadata import clock
from entrepot.metadata.people import users
from entrepot.metadata.query import RawQuery
from entrepot.oci.errors import TooManyRequests
from tests.contracts.accounts.conftest import BY, PASSWORD, House, id_of

OTHER = "seven boats at anchor"
LIST_USERS = Permission("user:list")


async def signs_in(house: House, name: str, password: str) -> bool:
    """Tell whether a name and a password are right, as far as a worker knows that has just started."""
    verifier = GuardedPasswords(LocalAccounts(house.database), Throttle())
    try:
        await verifier.verify(Basic(name, password), "192.0.2.9")
    except CredentialsRefused:
        return False
    finally:
        verifier.close()
    return True


async def test_the_owner_changes_it_knowing_the_old_one(house: House) -> None:
    """The new one signs in, the old one does not, and what it opened has ended."""
    alice = await house.users.create("alice", PASSWORD, by=BY)
    with pytest.raises(Forbidden, match="old password is wrong"):
        await house.passwords.change_own(alice.id, "not the old one", OTHER, by=BY)
    assert house.changed == []
    await house.passwords.change_own(alice.id, PASSWORD, OTHER, by=BY)
    assert (await signs_in(house, "alice", PASSWORD), await signs_in(house, "alice", OTHER)) == (False, True)
    now = await house.users.get(alice.id)
    assert now.epoch == alice.epoch + 1
    assert house.changed == ["alice"]
    assert await house.last_event() == ("update", "user:alice", '{"what": "password set"}')


async def test_a_new_password_is_a_new_one(house: House) -> None:
    """The rules hold for every way to set one, and the same again is no change."""
    alice = await house.users.create("alice", PASSWORD, by=BY)
    link = await house.passwords.make_reset_link(alice.id, acting=house.admin, by=BY)
    for attempt in (
        lambda: house.passwords.change_own(alice.id, PASSWORD, "password1234", by=BY),
        lambda: house.passwords.change_own(alice.id, PASSWORD, PASSWORD, by=BY),
        lambda: house.passwords.set_by_admin(alice.id, "short", acting=house.admin, by=BY),
        lambda: house.passwords.use_reset_link(link.token, "alice-alice-alice", by=BY),
    ):
        with pytest.raises(Invalid, match="password"):
            await attempt()
    assert await signs_in(house, "alice", PASSWORD)


async def test_guessing_the_old_one_is_limited(house: House) -> None:
    """A stolen session does not find the password out by trying to change it."""
    alice = await house.users.create("alice", PASSWORD, by=BY)
    for number in range(FREE):
        with pytest.raises(Forbidden):
            await house.passwords.change_own(alice.id, f"a guess, number {number}", OTHER, by=BY)
    with pytest.raises(TooManyRequests):
        await house.passwords.change_own(alice.id, "one more guess", OTHER, by=BY)


async def test_a_password_of_somebody_else_must_be_changed(house: House) -> None:
    """Until then it may nothing; afterwards the account's rights are back."""
    alice = await house.user("alice", ("*", "user:list"))
    await house.passwords.set_by_admin(id_of(alice), PASSWORD, acting=house.admin, by=BY, must_change=True)
    user = await house.users.get(id_of(alice))
    assert user.must_change
    alice = Principal(kind=PrincipalKind.USER, name="alice", id=user.id, epoch=user.epoch)
    decision = await house.authorizer.allows(alice, LIST_USERS, SYSTEM_TARGET)
    assert not decision.allowed
    assert "must be changed" in decision.reason
    assert await house.authorizer.must_change_password(alice)
    await house.passwords.change_own(user.id, PASSWORD, OTHER, by=BY)
    now = await house.users.get(user.id)
    alice = Principal(kind=PrincipalKind.USER, name="alice", id=user.id, epoch=now.epoch)
    assert not await house.authorizer.must_change_password(alice)
    assert (await house.authorizer.allows(alice, LIST_USERS, SYSTEM_TARGET)).allowed


async def test_nobody_sets_the_password_of_who_may_more(house: House) -> None:
    """A clerk who may manage users does not become an administrator by setting one's password, nor by a link."""
    clerk = await house.user("clerk", ("*", "user:update"))
    with pytest.raises(Forbidden):
        await house.passwords.set_by_admin(id_of(house.admin), PASSWORD, acting=clerk, by=BY)
    with pytest.raises(Forbidden):
        await house.passwords.make_reset_link(id_of(house.admin), acting=clerk, by=BY)
    nobody = await house.user("nobody")
    await house.passwords.set_by_admin(id_of(nobody), PASSWORD, acting=clerk, by=BY)
    assert await signs_in(house, "nobody", PASSWORD)


async def test_a_link_is_good_once(house: House) -> None:
    """It sets the password, for an account that had none as well, and is not in the database as it was handed out."""
    alice = await house.users.create("alice", None, by=BY)
    assert not await signs_in(house, "alice", PASSWORD)
    link = await house.passwords.make_reset_link(alice.id, acting=house.admin, by=BY)
    assert link.token not in repr(link)
    assert len(link.token) >= 43
    rows = await house.database.all(RawQuery("SELECT * FROM one_time_links"))
    assert len(rows) == 1
    assert link.token not in repr(rows)
    user = await house.passwords.use_reset_link(link.token, PASSWORD, by=BY)
    assert user.name == "alice"
    assert await signs_in(house, "alice", PASSWORD)
    assert house.changed == ["alice"]
    with pytest.raises(Forbidden, match="not good any more"):
        await house.passwords.use_reset_link(link.token, OTHER, by=BY)
    assert link.token not in repr(await house.events())


async def test_links_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After half an hour, when another is made, when the password is set otherwise, and when the account is closed."""
    alice = await house.users.create("alice", PASSWORD, by=BY)
    make = house.passwords.make_reset_link
    first = await make(alice.id, acting=house.admin, by=BY)
    second = await make(alice.id, acting=house.admin, by=BY)
    with pytest.raises(Forbidden):
        await house.passwords.use_reset_link(first.token, OTHER, by=BY)
    await house.passwords.set_by_admin(alice.id, OTHER, acting=house.admin, by=BY)
    with pytest.raises(Forbidden):
        await house.passwords.use_reset_link(second.token, PASSWORD, by=BY)
    third = await make(alice.id, acting=house.admin, by=BY)
    await house.users.set_disabled(alice.id, disabled=True, acting=house.admin, by=BY)
    with pytest.raises(Forbidden):
        await house.passwords.use_reset_link(third.token, PASSWORD, by=BY)
    with pytest.raises(PreconditionFailed, match="closed"):
        await make(alice.id, acting=house.admin, by=BY)
    await house.users.set_disabled(alice.id, disabled=False, acting=house.admin, by=BY)
    fourth = await make(alice.id, acting=house.admin, by=BY)
    later = clock.now() + 30 * 60 * clock.MICROSECONDS
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(Forbidden):
        await house.passwords.use_reset_link(fourth.token, PASSWORD, by=BY)


async def test_passwords_that_are_kept_elsewhere(house: House) -> None:
    """Nobody sets a password here for somebody whom a directory or provider knows."""
    made = await house.database.write(lambda tx: users.add(tx, "anna", provider="ldap", subject="uid=anna"))
    assert made is not None
    for attempt in (
        lambda: house.passwords.change_own(made.id, PASSWORD, OTHER, by=BY),
        lambda: house.passwords.set_by_admin(made.id, OTHER, acting=house.admin, by=BY),
        lambda: house.passwords.make_reset_link(made.id, acting=house.admin, by=BY),
    ):
        with pytest.raises(PreconditionFailed, match="kept by ldap"):
            await attempt()
    with pytest.raises(NotFound):
        await house.passwords.set_by_admin(999, OTHER, acting=house.admin, by=BY)


async def test_a_link_is_good_once_for_several_at_once(house: House) -> None:
    """Of several who use it at the same moment, one sets the password."""
    alice = await house.users.create("alice", None, by=BY)
    link = await house.passwords.make_reset_link(alice.id, acting=house.admin, by=BY)
    outcomes = await asyncio.gather(
        *(house.passwords.use_reset_link(link.token, f"{PASSWORD} {number}", by=BY) for number in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Forbidden) for outcome in outcomes) == 3, outcomes
