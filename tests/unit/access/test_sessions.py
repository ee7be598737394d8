"""Sessions of browsers over real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from entrepot.access.errors import CredentialsRefused
from entrepot.access.model import ANONYMOUS, Principal, PrincipalKind
from entrepot.access.web_sessions import NewSession, Sessions
from entrepot.metadata import clock
from entrepot.metadata.events import Source
from entrepot.metadata.opening import Stores, open_embedded
from entrepot.metadata.people import principals

BY = Source(name="alice", address="192.0.2.1", credential="session")


@dataclass
class Place:
    """Databases, sessions over them, and the time."""

    stores: Stores
    sessions: Sessions
    now: list[int]

    def later(self, seconds: float) -> None:
        """Move the clock."""
        self.now[0] += int(seconds * clock.MICROSECONDS)

    async def account(self, name: str = "alice") -> Principal:
        """Make an account."""
        await self.stores.metadata.write(lambda tx: principals.create(tx, principals.USER, name, secret="x"))
        record = await principals.find(self.stores.metadata, principals.USER, name)
        assert record is not None
        return Principal(kind=PrincipalKind.USER, name=name, id=record.id, epoch=record.epoch)

    async def open(self, principal: Principal, agent: str = "Browser") -> NewSession:
        """Open a session."""
        return await self.sessions.open(principal, provider="local", address="192.0.2.1", agent=agent)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Give one."""
    stores = await open_embedded(tmp_path / "state")
    now = [clock.now()]
    yield Place(stores, Sessions(stores.metadata, stores.work, now=lambda: now[0]), now)
    await stores.close()


async def test_a_cookie_speaks_for_its_account(place: Place) -> None:
    """The session names the account, its provider and its token; another cookie is nobody's."""
    alice = await place.account()
    opened = await place.open(alice)
    session = await place.sessions.authenticate(opened.cookie)
    assert session is not None
    assert (session.principal, session.csrf, session.provider) == (alice, opened.csrf, "local")
    assert opened.cookie not in repr(opened) + repr(session)
    for other in ("", "x", opened.cookie[:-1], opened.cookie + "x", session.id, "é" * 40, "x" * 10_000):
        assert await place.sessions.authenticate(other) is None


async def test_the_database_holds_no_cookie(place: Place, tmp_path: Path) -> None:
    """What a thief finds in the files signs nobody in: the cookie is 256 random bits, and only its hash is kept."""
    opened = await place.open(await place.account())
    again = await place.open(await place.account())
    assert len(opened.cookie) == 43
    assert opened.cookie != again.cookie
    for file in (tmp_path / "state").iterdir():
        assert opened.cookie.encode() not in file.read_bytes()


async def test_a_session_ends_when_nobody_uses_it(place: Place) -> None:
    """An hour without a request ends it; each request within the hour carries it on."""
    opened = await place.open(await place.account())
    for _ in range(3):
        place.later(3599)
        assert await place.sessions.authenticate(opened.cookie) is not None
    place.later(3600)
    assert await place.sessions.authenticate(opened.cookie) is None
    place.later(-3600)
    assert await place.sessions.authenticate(opened.cookie) is None


async def test_a_session_ends_after_half_a_day_however_it_is_used(place: Place) -> None:
    """Twelve hours after the sign-in it is over, also for somebody who never paused."""
    opened = await place.open(await place.account())
    assert opened.expires_in == 12 * 3600
    for _ in range(71):
        place.later(600)
        assert await place.sessions.authenticate(opened.cookie) is not None
    place.later(600)
    assert await place.sessions.authenticate(opened.cookie) is None


async def test_a_use_is_noted_once_a_minute(place: Place) -> None:
    """Requests within a minute of each other write nothing."""
    opened = await place.open(await place.account())
    before = place.stores.work.statistics.commits
    for _ in range(59):
        place.later(1)
        assert await place.sessions.authenticate(opened.cookie) is not None
    assert place.stores.work.statistics.commits == before
    place.later(1)
    assert await place.sessions.authenticate(opened.cookie) is not None
    assert place.stores.work.statistics.commits == before + 1


async def test_whatever_changes_the_account_ends_its_sessions(place: Place) -> None:
    """A new password, a closed account and a removed one each end the session at the next request."""
    for name, change in (
        ("alice", lambda tx, row: principals.set_secret(tx, row, "new")),
        ("bob", lambda tx, row: principals.set_disabled(tx, row, disabled=True)),
        ("carol", lambda tx, row: principals.set_expiry(tx, row, 1)),
        ("dave", principals.remove),
        ("erin", principals.end_sign_ins),
    ):
        owner = await place.account(name)
        opened = await place.open(owner)
        assert await place.sessions.authenticate(opened.cookie) is not None
        await place.stores.metadata.write(lambda tx, change=change, owner=owner: change(tx, owner.id))
        assert await place.sessions.authenticate(opened.cookie) is None, name


async def test_nobody_opens_a_session_without_an_account_that_counts(place: Place) -> None:
    """Anonymous callers, names without an account and credentials of an earlier epoch are refused."""
    alice = await place.account()
    await place.stores.metadata.write(lambda tx: principals.set_secret(tx, alice.id or 0, "new"))
    for principal in (ANONYMOUS, replace(alice, id=None), replace(alice, id=99), alice):
        with pytest.raises(CredentialsRefused):
            await place.open(principal)


async def test_a_closed_session_is_over(place: Place) -> None:
    """Closing ends this session alone, is written down, and closing again does nothing."""
    alice = await place.account()
    first, second = await place.open(alice), await place.open(alice)
    assert await place.sessions.close(first.cookie, BY) is not None
    assert await place.sessions.close(first.cookie, BY) is None
    assert await place.sessions.authenticate(first.cookie) is None
    assert await place.sessions.authenticate(second.cookie) is not None


async def test_an_owner_sees_and_ends_sessions(place: Place) -> None:
    """The list shows where each session is, and any of one's own can be ended, nobody else's."""
    alice, bob = await place.account(), await place.account("bob")
    here, there = await place.open(alice, "Here"), await place.open(alice, "There" * 1000)
    bobs = await place.open(bob)
    current = await place.sessions.authenticate(here.cookie)
    assert current is not None
    listed = await place.sessions.list(alice, current=current.id)
    assert sorted((info.agent[:5], info.current, info.address) for info in listed) == [
        ("Here", True, "192.0.2.1"),
        ("There", False, "192.0.2.1"),
    ]
    [other] = [info for info in listed if not info.current]
    assert len(other.agent) == 255
    assert not await place.sessions.revoke(bob, other.id, BY)
    assert await place.sessions.revoke(alice, other.id, BY)
    assert not await place.sessions.revoke(alice, other.id, BY)
    assert await place.sessions.authenticate(there.cookie) is None
    assert await place.sessions.authenticate(here.cookie) is not None
    assert await place.sessions.authenticate(bobs.cookie) is not None


async def test_all_other_sessions_end_at_once(place: Place) -> None:
    """One request leaves the asking session alone, another leaves none."""
    alice = await place.account()
    opened = [await place.open(alice) for _ in range(5)]
    current = await place.sessions.authenticate(opened[2].cookie)
    assert current is not None
    assert await place.sessions.revoke_others(alice, current.id, BY) == 4
    assert [await place.sessions.authenticate(each.cookie) is not None for each in opened] == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert await place.sessions.revoke_others(alice, "", BY) == 1


async def test_a_renewed_session_outlives_the_change_that_ends_the_others(place: Place) -> None:
    """The browser that changed its password goes on with a new cookie, and the old one is worth nothing."""
    alice = await place.account()
    mine, other = await place.open(alice), await place.open(alice)
    place.later(600)
    await place.stores.metadata.write(lambda tx: principals.set_secret(tx, alice.id or 0, "new"))
    renewed = await place.sessions.renew(mine.cookie)
    assert renewed is not None
    assert renewed.expires_in == 12 * 3600 - 600
    assert renewed.csrf != mine.csrf
    session = await place.sessions.authenticate(renewed.cookie)
    assert session is not None
    assert session.principal.epoch == alice.epoch + 1
    assert await place.sessions.authenticate(mine.cookie) is None
    assert await place.sessions.authenticate(other.cookie) is None
    assert await place.sessions.renew(mine.cookie) is None


async def test_sessions_do_not_pile_up(place: Place) -> None:
    """A script that signs in again and again keeps a hundred sessions and no more."""
    alice = await place.account()
    for _ in range(105):
        await place.open(alice)
    assert len(await place.sessions.list(alice)) == 100
