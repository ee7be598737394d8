"""People: made, found, listed, changed, closed and removed, on both databases."""

import asyncio

import pytest

from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from entrepot.metadata.filtering import Condition, FieldUnknown, Match, Order, Selection
from entrepot.metadata.people import memberships, principals, users
from tests.contracts.accounts.conftest import BY, PASSWORD, House, id_of


async def test_a_user_is_made_without_any_right(house: House) -> None:
    """The account is there with its profile, may nothing, and the audit log says who made it."""
    alice = await house.users.create("alice", PASSWORD, by=BY, email="a@example.org", realname="Alice", comment="new")
    assert (alice.name, alice.email, alice.realname, alice.comment) == ("alice", "a@example.org", "Alice", "new")
    assert (alice.provider, alice.sysadmin, alice.disabled, alice.must_change) == ("local", False, False, False)
    assert await house.users.find("alice") == alice
    assert await house.users.get(alice.id) == alice
    account = await principals.find(house.database, principals.USER, "alice")
    assert account is not None
    assert (account.secret or "").startswith("$argon2id$")
    assert await house.grants.of(alice.id) == []
    assert await house.last_event() == ("create", "user:alice", '{"provider": "local"}')


async def test_names_are_unique_and_look_alikes_refused(house: House) -> None:
    """Neither the same name, nor the same with capitals, nor one that is composed differently is made twice."""
    await house.users.create("zoë", None, by=BY)
    for name in ("zoë", "zoe\u0308", "Zoë"):
        with pytest.raises(Conflict, match="there is a user"):
            await house.users.create(name, None, by=BY)
    with pytest.raises(Conflict):
        await house.users.create("Admin", None, by=BY)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " x",
        "x ",
        "a" * 256,
        "robot$x",
        "a:b",
        "a\nb",
        "a,b",
        "a\u200bb",
        "a\u202eb",
        "<b>",
        "a\tb",
        'a"b',
        "a\x00b",
        "anonymous",
        "Anonymous",
    ],
)
async def test_names_that_cannot_be(house: House, name: str) -> None:
    """No blank ends, nothing invisible, nothing that ends the name in Basic, begins a robot's, or means nobody."""
    with pytest.raises(Invalid, match="user name"):
        await house.users.create(name, None, by=BY)
    assert len(await house.events()) == 0


@pytest.mark.parametrize("password", ["short", "alicealicealice", "Password1234", "x" * 257, "aaaaaaaaaaaaaaaa"])
async def test_passwords_that_cannot_be(house: House, password: str) -> None:
    """Short, common and repeated ones are refused before anything is written."""
    with pytest.raises(Invalid, match="password"):
        await house.users.create("alice", password, by=BY)
    assert await house.users.find("alice") is None


@pytest.mark.parametrize("email", ["x", "@x", "a@b c", "a\n@b", "a@" + "b" * 200])
async def test_addresses_that_cannot_be(house: House, email: str) -> None:
    """What is no address is not kept as one."""
    with pytest.raises(Invalid, match="e-mail"):
        await house.users.create("alice", None, by=BY, email=email)


async def test_lists(house: House) -> None:
    """People are listed by name, page by page, filtered and sorted by what may be seen of them and nothing else."""
    for name in ("carol", "alice", "bob"):
        await house.users.create(name, None, by=BY, email=f"{name}@example.org")
    first = await house.users.page(Selection(limit=2))
    assert ([user.name for user in first.items], first.total) == (["admin", "alice"], 4)
    second = await house.users.page(Selection(limit=2, offset=2))
    assert [user.name for user in second.items] == ["bob", "carol"]
    down = await house.users.page(Selection(order=(Order("username", descending=True),)))
    assert [user.name for user in down.items] == ["carol", "bob", "alice", "admin"]
    wanted = Condition(field="email", match=Match.CONTAINS, values=("bob@",))
    assert [user.name for user in (await house.users.page(Selection(conditions=(wanted,)))).items] == ["bob"]
    assert [user.name for user in (await house.users.search("ALI", Selection())).items] == ["alice"]
    assert (await house.users.search("a%c", Selection())).items == []


@pytest.mark.parametrize("field", ["password", "secret", "totp", "recovery", "refresh", "epoch", "salt"])
async def test_cve_2025_30086_secrets_are_no_fields_of_lists(house: House, field: str) -> None:
    """Nobody narrows down a hash by asking which accounts have one that begins with a letter."""
    wanted = Condition(field=field, match=Match.CONTAINS, values=("a",))
    with pytest.raises(FieldUnknown):
        await house.users.page(Selection(conditions=(wanted,)))
    with pytest.raises(FieldUnknown):
        await house.users.page(Selection(order=(Order(field),)))


async def test_a_profile_is_changed(house: House) -> None:
    """What people see changes, and the audit log names the fields and not their values."""
    alice = await house.users.create("alice", None, by=BY, email="a@example.org")
    now = await house.users.change(alice.id, by=BY, email="", realname="Alice A.", comment="")
    assert (now.email, now.realname) == (None, "Alice A.")
    assert now.updated_at >= alice.updated_at
    assert await house.last_event() == ("update", "user:alice", '{"changed": ["email", "realname"]}')
    with pytest.raises(Invalid, match="control"):
        await house.users.change(alice.id, by=BY, email="", realname="a\x1b[2J", comment="")
    with pytest.raises(NotFound):
        await house.users.change(999, by=BY, email="", realname="", comment="")


async def test_only_administrators_make_administrators(house: House) -> None:
    """Somebody who may manage users cannot give what they have not, and so not make themselves one."""
    clerk = await house.user("clerk", ("*", "user:create,user:update,user:list"))
    alice = await house.user("alice")
    for user in (alice, clerk):
        with pytest.raises(Forbidden, match="cannot give what you do not have"):
            await house.users.set_sysadmin(id_of(user), sysadmin=True, acting=clerk, by=BY)
    await house.users.set_sysadmin(id_of(alice), sysadmin=True, acting=house.admin, by=BY)
    assert (await house.users.get(id_of(alice))).sysadmin
    assert await house.last_event() == ("grant", "user:alice", '{"role": "systemAdmin"}')
    before = len(await house.events())
    await house.users.set_sysadmin(id_of(alice), sysadmin=True, acting=house.admin, by=BY)
    assert len(await house.events()) == before
    assert len(await house.grants.of(id_of(alice))) == 1
    await house.users.set_sysadmin(id_of(alice), sysadmin=False, acting=house.admin, by=BY)
    assert not (await house.users.get(id_of(alice))).sysadmin
    assert (await house.last_event())[0] == "revoke"


async def test_becoming_an_administrator_ends_what_was_open(house: House) -> None:
    """Sessions and tokens from before, which somebody may have got hold of, open nothing of an administrator's."""
    alice = await house.user("alice")
    before = (await house.users.get(id_of(alice))).epoch
    await house.users.set_sysadmin(id_of(alice), sysadmin=True, acting=house.admin, by=BY)
    assert (await house.users.get(id_of(alice))).epoch == before + 1


async def test_the_last_administrator_stays(house: House) -> None:
    """Neither demoted, nor closed, nor removed, while nobody else with a password may everything."""
    admin = id_of(house.admin)
    other = await house.users.create("other", None, by=BY)
    await house.users.set_sysadmin(other.id, sysadmin=True, acting=house.admin, by=BY)
    for attempt in (
        lambda: house.users.set_sysadmin(admin, sysadmin=False, acting=None, by=BY),
        lambda: house.users.set_disabled(admin, disabled=True, acting=None, by=BY),
        lambda: house.users.remove(admin, acting=None, by=BY),
    ):
        with pytest.raises(PreconditionFailed, match="last administrator"):
            await attempt()
    await house.passwords.set_by_admin(other.id, PASSWORD, acting=house.admin, by=BY)
    await house.users.remove(admin, acting=None, by=BY)
    assert await house.users.find("admin") is None


async def test_nobody_closes_who_may_more(house: House) -> None:
    """A clerk who may manage users neither closes nor removes an administrator, nor their own account."""
    clerk = await house.user("clerk", ("*", "user:delete,user:update"))
    reader = await house.user("reader", ("project:team", "pull"))
    for user in (house.admin, reader):
        with pytest.raises(Forbidden):
            await house.users.set_disabled(id_of(user), disabled=True, acting=clerk, by=BY)
        with pytest.raises(Forbidden):
            await house.users.remove(id_of(user), acting=clerk, by=BY)
    with pytest.raises(PreconditionFailed, match="your own"):
        await house.users.remove(id_of(clerk), acting=clerk, by=BY)
    nobody = await house.user("nobody")
    await house.users.remove(id_of(nobody), acting=clerk, by=BY)
    assert await house.last_event() == ("delete", "user:nobody", None)


async def test_a_closed_account_ends_its_sign_ins(house: House) -> None:
    """Closing grows the epoch; closing it twice says so once; opening gives nothing back that was ended."""
    alice = await house.user("alice", ("project:team", "pull"))
    await house.users.set_disabled(id_of(alice), disabled=True, acting=house.admin, by=BY)
    await house.users.set_disabled(id_of(alice), disabled=True, acting=house.admin, by=BY)
    assert [event[:2] for event in await house.events()].count(("update", "user:alice")) == 1
    closed = await house.users.get(id_of(alice))
    assert (closed.disabled, closed.epoch) == (True, 1)
    await house.users.set_disabled(id_of(alice), disabled=False, acting=house.admin, by=BY)
    opened = await house.users.get(id_of(alice))
    assert (opened.disabled, opened.epoch) == (False, 2)


async def test_removing_takes_everything_along(house: House) -> None:
    """Grants and memberships go with the account; the group stays."""
    alice = await house.user("alice", ("project:team", "pull"))
    group = await house.groups.create("testers", by=BY)
    await house.groups.add_member(group.id, id_of(alice), acting=house.admin, by=BY)
    await house.users.remove(id_of(alice), acting=house.admin, by=BY)
    assert await house.grants.of(id_of(alice)) == []
    assert await memberships.groups_of(house.database, id_of(alice)) == []
    assert (await house.groups.members(group.id, Selection())).items == []
    with pytest.raises(NotFound):
        await house.users.remove(id_of(alice), acting=house.admin, by=BY)


async def test_self_registration_is_a_setting(house: House) -> None:
    """Where it is off nobody makes their own account; where it is on the account has no right (CVE-2019-16097)."""
    with pytest.raises(Forbidden, match="administrator"):
        await house.users.register("eve", PASSWORD, by=BY, allowed=False)
    eve = await house.users.register("eve", PASSWORD, by=BY, allowed=True)
    assert (eve.sysadmin, await house.grants.of(eve.id)) == (False, [])


async def test_people_of_providers(house: House) -> None:
    """A provider's name for somebody is unique, and finds them whatever they are called here."""
    made = await house.database.write(
        lambda tx: users.add(tx, "anna", provider="ldap", subject="uid=anna,dc=example", email="anna@example.org")
    )
    assert made is not None
    assert await users.find_by_subject(house.database, "ldap", "uid=anna,dc=example") == made
    assert await users.find_by_subject(house.database, "oidc:x", "uid=anna,dc=example") is None
    assert await house.database.write(lambda tx: users.add(tx, "anna", provider="oidc:x", subject="s")) is None
    await house.database.write(lambda tx: users.set_provider(tx, made.id, "oidc:x", "s"))
    await house.database.write(lambda tx: users.set_checked(tx, made.id, 77))
    now = await users.find_by_subject(house.database, "oidc:x", "s")
    assert now is not None
    assert (now.id, now.checked_at, now.password_at) == (made.id, 77, None)


async def test_two_administrators_who_demote_each_other_do_not_both_succeed(house: House) -> None:
    """Of two at once, each of whom sees the other still in office, one is refused: somebody has to be left."""
    second = await house.users.create("second", PASSWORD, by=BY)
    await house.users.set_sysadmin(second.id, sysadmin=True, acting=house.admin, by=BY)
    both = (id_of(house.admin), second.id)
    outcomes = await asyncio.gather(
        *(house.users.set_sysadmin(one, sysadmin=False, acting=None, by=BY) for one in both), return_exceptions=True
    )
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 1, outcomes
