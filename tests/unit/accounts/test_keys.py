"""Making, replacing and removing API keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from entrepot.access.api_key_limits import KeyLimit, limits_as_grants
from entrepot.access.api_keys import hash_key, is_key
from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound
from entrepot.access.model import Principal
from entrepot.accounts.keys import LONGEST_GRACE, MOST_KEYS, Keys, NewKey
from entrepot.metadata import clock
from entrepot.metadata.database import Database
from entrepot.metadata.people import api_keys, principals
from entrepot.oci.scope import Scope
from tests.support.events import recorded
from tests.unit.accounts.conftest import BY, person

PULL = KeyLimit(permissions=("repository:pull",))
PULL_DEMO = KeyLimit(permissions=("repository:pull",), project="demo")
PUSH = KeyLimit(permissions=("repository:push",))


def owner_of(principal: Principal) -> int:
    """Return an account's id."""
    assert principal.id is not None
    return principal.id


async def make(keys: Keys, owner: Principal, name: str = "laptop", **more: object) -> NewKey:
    """Make a key for oneself."""
    return await keys.create(owner_of(owner), name, acting=owner, by=BY, **more)  # type: ignore[arg-type]


def signed_in_with(owner: Principal, key: NewKey) -> Principal:
    """Return the principal that a key signs in."""
    return replace(owner, key=key.record.id, limits=limits_as_grants(key.record.limits))


async def test_a_key_is_made_shown_and_removed(keys: Keys, database: Database) -> None:
    """The secret is given once; the list has a hint; each step is an event without the secret."""
    alice = await person(database, "alice")
    end = clock.after(60)
    made = await make(keys, alice, limits=[PULL], expires_at=end)
    assert is_key(made.secret)
    assert made.secret not in repr(made)
    assert (made.record.name, made.record.hint, made.record.expires_at) == ("laptop", made.secret[:8], end)
    assert await api_keys.find_with_account(database, hash_key(made.secret)) is not None
    assert await keys.list(owner_of(alice)) == [made.record]
    assert await keys.find(owner_of(alice), made.record.id) == made.record
    await keys.remove(owner_of(alice), made.record.id, by=BY)
    assert await keys.list(owner_of(alice)) == []
    told = await recorded(database)
    assert [(event.kind, event.subject) for event in told] == [
        ("create", "key:alice/laptop"),
        ("delete", "key:alice/laptop"),
    ]
    assert made.secret[8:] not in repr(told)
    assert hash_key(made.secret) not in repr(told)


@pytest.mark.parametrize("name", ["", " laptop", "laptop ", "a\nb", "a\0b", "x" * 101])
async def test_a_name_is_for_people(name: str, keys: Keys, database: Database) -> None:
    """Names that cannot be seen or read are refused, for new keys and for renamed ones."""
    alice = await person(database, "alice")
    made = await make(keys, alice)
    with pytest.raises(Invalid):
        await make(keys, alice, name)
    with pytest.raises(Invalid):
        await keys.rename(owner_of(alice), made.record.id, name, by=BY)


async def test_what_a_key_cannot_be(keys: Keys, database: Database) -> None:
    """A key that has ended, with limits that mean nothing, or of an account that is none, is not made."""
    alice = await person(database, "alice")
    with pytest.raises(Invalid, match="expired already"):
        await make(keys, alice, expires_at=clock.after(-1))
    for limits in ([], [PULL] * 101, [KeyLimit(permissions=())], [KeyLimit(permissions=("repository:fly",))]):
        with pytest.raises(Invalid):
            await make(keys, alice, limits=limits)
    with pytest.raises(NotFound):
        await keys.create(10**6, "x", acting=None, by=BY)
    await database.write(lambda tx: principals.create(tx, principals.GROUP, "team", secret=None))
    team = await principals.find(database, principals.GROUP, "team")
    assert team is not None
    with pytest.raises(NotFound):
        await keys.create(team.id, "x", acting=None, by=BY)


async def test_names_are_taken(keys: Keys, database: Database) -> None:
    """Two keys of an account cannot share a name, and an account has no more keys than people oversee."""
    alice = await person(database, "alice")
    first = await make(keys, alice, "one")
    with pytest.raises(Conflict):
        await make(keys, alice, "one")
    second = await make(keys, alice, "two")
    with pytest.raises(Conflict):
        await keys.rename(owner_of(alice), second.record.id, "one", by=BY)
    assert (await keys.rename(owner_of(alice), first.record.id, "one", by=BY)).name == "one"
    assert (await keys.rename(owner_of(alice), first.record.id, "first", by=BY)).name == "first"
    for number in range(MOST_KEYS - 2):
        await make(keys, alice, f"key {number}")
    with pytest.raises(Conflict, match="remove one"):
        await make(keys, alice, "one too many")


async def test_a_key_is_replaced(keys: Keys, database: Database) -> None:
    """The new one has name and limits of the old; the old goes at once, or after a time of grace."""
    alice = await person(database, "alice")
    old = await make(keys, alice, "ci", limits=[PULL])
    new = await keys.rotate(owner_of(alice), old.record.id, acting=alice, by=BY)
    assert (new.record.name, new.record.limits) == ("ci", old.record.limits)
    assert new.record.id != old.record.id
    assert await api_keys.find_with_account(database, hash_key(old.secret)) is None
    newer = await keys.rotate(owner_of(alice), new.record.id, acting=alice, by=BY, grace=600)
    going = await api_keys.find_with_account(database, hash_key(new.secret))
    assert going is not None
    assert going[0].expires_at is not None
    assert 590 < (going[0].expires_at - clock.now()) / 1e6 <= 600
    assert [key.name for key in await keys.list(owner_of(alice))] == [f"ci (replaced, {new.record.id})", "ci"]
    assert newer.record.name == "ci"
    assert [
        event.detail["replaces"] for event in await recorded(database) if event.detail and "replaces" in event.detail
    ] == [
        old.record.id,
        new.record.id,
    ]


async def test_a_grace_does_not_lengthen_a_life(keys: Keys, database: Database) -> None:
    """An old key that would have ended sooner still does; an ended one is replaced with a new end only."""
    alice = await person(database, "alice")
    soon = clock.after(60)
    old = await make(keys, alice, expires_at=soon)
    await keys.rotate(owner_of(alice), old.record.id, acting=alice, by=BY, grace=600, expires_at=clock.after(1000))
    assert (await keys.find(owner_of(alice), old.record.id)).expires_at == soon
    await database.write(lambda tx: api_keys.retire(tx, old.record.id, name="ended", expires_at=clock.after(-1)))
    with pytest.raises(Invalid, match="expired already"):
        await keys.rotate(owner_of(alice), old.record.id, acting=alice, by=BY)
    for grace in (-1, LONGEST_GRACE + 1):
        with pytest.raises(Invalid):
            await keys.rotate(owner_of(alice), old.record.id, acting=alice, by=BY, grace=grace)


async def test_keys_are_of_one_account(keys: Keys, database: Database) -> None:
    """Nobody finds, renames, replaces or removes another's key by its number (CVE-2022-31667)."""
    alice, bob = await person(database, "alice"), await person(database, "bob")
    number = (await make(keys, bob)).record.id
    for call in (
        keys.find(owner_of(alice), number),
        keys.rename(owner_of(alice), number, "mine", by=BY),
        keys.rotate(owner_of(alice), number, acting=alice, by=BY),
        keys.remove(owner_of(alice), number, by=BY),
    ):
        with pytest.raises(NotFound):
            await call
    assert len(await keys.list(owner_of(bob))) == 1


async def test_a_key_for_somebody_else_needs_their_rights(keys: Keys, database: Database, admin: Principal) -> None:
    """An administrator may make one for anybody; others only for who may no more than they."""
    alice = await person(database, "alice", ("project:demo", "*"))
    bob = await person(database, "bob", ("project:demo", "pull"))
    await keys.create(owner_of(alice), "by admin", acting=admin, by=BY)
    await keys.create(owner_of(bob), "by alice", acting=alice, by=BY)
    for owner, acting in ((alice, bob), (admin, alice)):
        with pytest.raises(Forbidden):
            await keys.create(owner_of(owner), "taken over", acting=acting, by=BY, limits=[PULL])
    await keys.create(owner_of(admin), "by the operator", acting=None, by=BY)


async def test_a_limited_key_makes_no_better_one(keys: Keys, database: Database) -> None:
    """A key hands on its limits and its end, to new keys and by replacing others; a short token makes none."""
    alice = await person(database, "alice", ("*", "*"))
    wide = await make(keys, alice, "wide")
    end = clock.after(600)
    narrow = signed_in_with(alice, await make(keys, alice, "narrow", limits=[PULL], expires_at=end))
    for name, limits, ends in (
        ("unlimited", None, end),
        ("other right", [PUSH], end),
        ("more rights", [PULL, PUSH], end),
        ("longer", [PULL], end + 1),
        ("for ever", [PULL], None),
    ):
        with pytest.raises(Forbidden):
            await keys.create(owner_of(alice), name, acting=narrow, by=BY, limits=limits, expires_at=ends)
    with pytest.raises(Forbidden):
        await keys.rotate(owner_of(alice), wide.record.id, acting=narrow, by=BY)
    made = await keys.create(owner_of(alice), "less", acting=narrow, by=BY, limits=[PULL_DEMO], expires_at=end)
    assert made.record.expires_at == end
    token = alice.with_scopes([Scope("repository", "demo/app", ("pull",))])
    for acting in (token, replace(alice, fleeting=True)):
        with pytest.raises(Forbidden, match="token"):
            await keys.create(owner_of(alice), "by a token", acting=acting, by=BY)


async def test_keys_that_ended_long_ago_make_room(keys: Keys, database: Database) -> None:
    """A key that ended is shown for a month, and is gone when the next one is made after that."""
    alice = await person(database, "alice")
    old, older = await make(keys, alice, "old"), await make(keys, alice, "older")
    for key, days in ((old, 29), (older, 31)):
        end = clock.after(-days * 24 * 3600)
        await database.write(
            lambda tx, key=key, end=end: api_keys.retire(tx, key.record.id, name=key.record.name, expires_at=end)
        )
    await make(keys, alice, "new")
    assert [key.name for key in await keys.list(owner_of(alice))] == ["old", "new"]
