"""Groups: made, listed, renamed, filled and removed, and what they give their members."""

import pytest

from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from entrepot.access.model import Target
from entrepot.access.permissions import PULL
from entrepot.metadata.database import Transaction
from entrepot.metadata.filtering import Condition, Match, Selection
from entrepot.metadata.people import groups, memberships
from entrepot.oci.reference import RepositoryName
from tests.contracts.accounts.conftest import BY, House, id_of
from tests.support.rights import give

APP = Target.of(RepositoryName.parse("team/app"))


async def test_a_group_gives_its_members_what_it_was_given(house: House) -> None:
    """Whoever is put in may; whoever is taken out, or whose group goes, may no more."""
    alice = await house.user("alice")
    group = await house.groups.create("testers", by=BY)
    await give(house.database, "project:team", "pull", principal_id=group.id)
    assert not (await house.authorizer.allows(alice, PULL, APP)).allowed
    await house.groups.add_member(group.id, id_of(alice), acting=house.admin, by=BY)
    decision = await house.authorizer.allows(alice, PULL, APP)
    assert decision.allowed
    assert "through group testers" in decision.reason
    assert await house.last_event() == ("grant", "group:testers", '{"member": "alice"}')
    await house.groups.remove_member(group.id, id_of(alice), acting=house.admin, by=BY)
    assert not (await house.authorizer.allows(alice, PULL, APP)).allowed
    await house.groups.add_member(group.id, id_of(alice), acting=house.admin, by=BY)
    await house.groups.remove(group.id, acting=house.admin, by=BY)
    assert not (await house.authorizer.allows(alice, PULL, APP)).allowed
    assert await house.groups.find("testers") is None
    assert await house.last_event() == ("delete", "group:testers", None)


async def test_groups_are_named_once(house: House) -> None:
    """Neither two of one name, nor two for one DN; a user may be called like a group."""
    await house.groups.create("team", by=BY)
    await house.users.create("team", None, by=BY)
    with pytest.raises(Conflict):
        await house.groups.create("team", by=BY)
    await house.groups.create("staff", by=BY, provider="ldap", subject="cn=staff,dc=example")
    with pytest.raises(Conflict, match="of ldap"):
        await house.groups.create("staff2", by=BY, provider="ldap", subject="cn=staff,dc=example")
    other = await house.groups.create("other", by=BY)
    with pytest.raises(Conflict):
        await house.groups.rename(other.id, "team", by=BY)


@pytest.mark.parametrize(
    ("provider", "subject"), [("ldap", None), ("local", "cn=x"), ("ldap", "x" * 1025), ("ldap", "")]
)
async def test_groups_that_cannot_be(house: House, provider: str, subject: str | None) -> None:
    """A provider's group has a name there, and a local one has none."""
    with pytest.raises(Invalid):
        await house.groups.create("g", by=BY, provider=provider, subject=subject)


async def test_a_renamed_group_keeps_its_members_and_grants(house: House) -> None:
    """The name is for people only."""
    alice = await house.user("alice")
    group = await house.groups.create("testers", by=BY)
    await give(house.database, "project:team", "pull", principal_id=group.id)
    await house.groups.add_member(group.id, id_of(alice), acting=house.admin, by=BY)
    renamed = await house.groups.rename(group.id, "quality", by=BY)
    assert (renamed.id, renamed.name) == (group.id, "quality")
    assert await house.last_event() == ("update", "group:quality", '{"was": "testers"}')
    assert "through group quality" in (await house.authorizer.allows(alice, PULL, APP)).reason


async def test_who_is_in_a_providers_group_is_for_the_provider_to_say(house: House) -> None:
    """Nobody puts people by hand into a group that the next sign-in would empty again."""
    alice = await house.user("alice")
    group = await house.groups.create("staff", by=BY, provider="ldap", subject="cn=staff")
    with pytest.raises(PreconditionFailed, match="ldap says"):
        await house.groups.add_member(group.id, id_of(alice), acting=house.admin, by=BY)
    with pytest.raises(PreconditionFailed):
        await house.groups.remove_member(group.id, id_of(alice), acting=house.admin, by=BY)


async def test_nobody_fills_a_group_that_may_more(house: House) -> None:
    """A clerk who may manage groups puts nobody, least of all themselves, into one of administrators."""
    clerk = await house.user("clerk", ("*", "user-group:update,user-group:delete"))
    chiefs = await house.groups.create("chiefs", by=BY)
    await give(house.database, "*", "*", principal_id=chiefs.id)
    with pytest.raises(Forbidden):
        await house.groups.add_member(chiefs.id, id_of(clerk), acting=clerk, by=BY)
    with pytest.raises(Forbidden):
        await house.groups.remove(chiefs.id, acting=clerk, by=BY)
    harmless = await house.groups.create("harmless", by=BY)
    await house.groups.add_member(harmless.id, id_of(clerk), acting=clerk, by=BY)


async def test_members_are_listed(house: House) -> None:
    """Page by page, by name; what is not there is said to be missing."""
    group = await house.groups.create("testers", by=BY)
    for name in ("carol", "alice", "bob"):
        await house.groups.add_member(group.id, id_of(await house.user(name)), acting=house.admin, by=BY)
    found = await house.groups.members(group.id, Selection(limit=2))
    assert ([member.name for member in found.items], found.total) == (["alice", "bob"], 3)
    alice = await house.users.find("alice")
    assert alice is not None
    with pytest.raises(Conflict, match="already"):
        await house.groups.add_member(group.id, alice.id, acting=house.admin, by=BY)
    assert [mine.name for mine in await house.users.groups_of(alice.id)] == ["testers"]
    for attempt in (
        lambda: house.groups.members(999, Selection()),
        lambda: house.groups.get(999),
        lambda: house.groups.add_member(999, alice.id, acting=house.admin, by=BY),
        lambda: house.groups.add_member(group.id, 999, acting=house.admin, by=BY),
        lambda: house.groups.remove_member(group.id, id_of(house.admin), acting=house.admin, by=BY),
    ):
        with pytest.raises(NotFound):
            await attempt()


async def test_groups_are_listed(house: House) -> None:
    """By name, filtered by provider, found by a part of their name."""
    await house.groups.create("b-local", by=BY)
    await house.groups.create("a-ldap", by=BY, provider="ldap", subject="cn=a")
    found = await house.groups.page(Selection())
    assert ([group.name for group in found.items], found.total) == (["a-ldap", "b-local"], 2)
    wanted = Condition(field="provider", match=Match.EQUAL, values=("ldap",))
    assert [group.name for group in (await house.groups.page(Selection(conditions=(wanted,)))).items] == ["a-ldap"]
    assert [group.name for group in (await house.groups.search("LOC", Selection())).items] == ["b-local"]


async def test_a_providers_groups_are_replaced_as_a_whole(house: House) -> None:
    """What a directory says replaces what it said before, and leaves the groups of others alone."""
    alice = await house.user("alice")
    local = await house.groups.create("local", by=BY)
    await house.groups.add_member(local.id, id_of(alice), acting=house.admin, by=BY)
    ids = {}
    for name in ("one", "two", "three"):
        ids[name] = (await house.groups.create(name, by=BY, provider="ldap", subject=f"cn={name}")).id
    known = await groups.by_subjects(house.database, "ldap", ["cn=one", "cn=three", "cn=unknown"])
    assert {group.name for group in known} == {"one", "three"}

    async def replace(*names: str) -> tuple[set[int], set[int]]:
        async def work(tx: Transaction) -> tuple[set[int], set[int]]:
            return await memberships.replace(tx, id_of(alice), "ldap", [ids[name] for name in names])

        return await house.database.write(work)

    assert await replace("one", "two") == ({ids["one"], ids["two"]}, set())
    assert await replace("two", "three") == ({ids["three"]}, {ids["one"]})
    assert await replace("two", "three") == (set(), set())
    assert [group.name for group in await house.users.groups_of(id_of(alice))] == ["local", "three", "two"]
