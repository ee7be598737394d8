"""Grants on the registry as a whole, and why somebody may or may not."""

import pytest

from entrepot.access.compatibility import ORIGIN as COMPATIBILITY
from entrepot.access.compatibility import ensure_compatibility
from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from entrepot.access.model import SYSTEM_TARGET, Audience
from entrepot.access.permissions import Permission
from entrepot.access.roles import DEVELOPER, GUEST, SYSTEM_ADMIN
from entrepot.accounts import grants
from entrepot.accounts.grant_requests import Extent, Gift
from entrepot.metadata.filtering import Condition, Match, Selection
from tests.contracts.accounts.conftest import BY, PASSWORD, House, id_of

READ_LOG = Permission("audit-log:list")


async def test_permissions_are_given_one_by_one(house: House) -> None:
    """Somebody gets to read the audit log and nothing else, until it is taken back."""
    auditor = await house.user("auditor")
    gift = Gift(principal_id=id_of(auditor), permissions=frozenset(("audit-log:*",)))
    grant = await house.grants.give(gift, acting=house.admin, by=BY)
    assert (grant.permissions, grant.role, grant.origin) == ({"audit-log:*"}, None, "given")
    assert await house.last_event() == ("grant", "user:auditor", f'{{"gives": "audit-log:*", "grant": {grant.id}}}')
    assert (await house.authorizer.allows(auditor, READ_LOG, SYSTEM_TARGET)).allowed
    assert not (await house.authorizer.allows(auditor, Permission("user:list"), SYSTEM_TARGET)).allowed
    await house.grants.take(grant.id, acting=house.admin, by=BY)
    assert not (await house.authorizer.allows(auditor, READ_LOG, SYSTEM_TARGET)).allowed
    with pytest.raises(NotFound):
        await house.grants.take(grant.id, acting=house.admin, by=BY)


async def test_the_compatibility_grant_is_one_like_others(house: House) -> None:
    """It is seen in the list with its audience, and can be taken back."""
    await ensure_compatibility(house.database, Audience.AUTHENTICATED)
    wanted = Condition(field="origin", match=Match.EQUAL, values=(COMPATIBILITY,))
    (grant,) = (await house.grants.page(Selection(conditions=(wanted,)))).items
    assert (grant.audience, grant.role) == ("authenticated", "registry2")
    await house.grants.take(grant.id, acting=house.admin, by=BY)
    assert (await house.last_event())[:2] == ("revoke", "audience:authenticated")
    assert [left.origin for left in (await house.grants.page(Selection())).items] == ["first-start"]


async def test_gifts_that_cannot_be(house: House) -> None:
    """One receiver, a role or permissions, and something that means anything where it is given."""
    alice = id_of(await house.user("alice"))
    for gift in (
        Gift(role_id=DEVELOPER),
        Gift(principal_id=alice, audience=Audience.ANYONE, role_id=DEVELOPER),
        Gift(principal_id=alice),
        Gift(principal_id=alice, role_id=DEVELOPER, permissions=frozenset(("repository:pull",))),
        Gift(principal_id=alice, permissions=frozenset()),
        Gift(principal_id=alice, permissions=frozenset(("repository:fly",))),
        Gift(principal_id=alice, permissions=frozenset(("user:list",)), project="team"),
        Gift(principal_id=alice, role_id=DEVELOPER, extent=Extent(tags="{")),
    ):
        with pytest.raises(Invalid):
            await house.grants.give(gift, acting=house.admin, by=BY)
    for gift in (
        Gift(principal_id=999, role_id=DEVELOPER),
        Gift(principal_id=alice, role_id=DEVELOPER, project="absent"),
        Gift(principal_id=alice, role_id=77),
    ):
        with pytest.raises(NotFound):
            await house.grants.give(gift, acting=house.admin, by=BY)
    assert await house.grants.of(alice) == []


async def test_nobody_gives_on_the_registry_what_they_do_not_have(house: House) -> None:
    """Neither a role, nor one permission, nor to everybody."""
    clerk = await house.user("clerk", ("*", "user:list"))
    alice = id_of(await house.user("alice"))
    for gift in (
        Gift(principal_id=alice, role_id=SYSTEM_ADMIN),
        Gift(principal_id=alice, permissions=frozenset(("user:*",))),
        Gift(audience=Audience.ANYONE, role_id=DEVELOPER),
    ):
        with pytest.raises(Forbidden):
            await house.grants.give(gift, acting=clerk, by=BY)
    allowed = Gift(principal_id=alice, permissions=frozenset(("user:list",)))
    assert (await house.grants.give(allowed, acting=clerk, by=BY)).permissions == {"user:list"}


async def test_nobody_takes_a_grant_of_more_than_they_have(house: House) -> None:
    """From nobody else; what one has oneself can be given up."""
    clerk = await house.user("clerk", ("*", "role:update,user:list"))
    alice = id_of(await house.user("alice"))
    pushing = Gift(principal_id=alice, role_id=DEVELOPER)
    strong = await house.grants.give(pushing, acting=house.admin, by=BY)
    listing = Gift(principal_id=alice, permissions=frozenset(("user:list",)))
    with pytest.raises(Forbidden, match="cannot take"):
        await house.grants.take(strong.id, acting=clerk, by=BY)
    given = await house.grants.give(listing, acting=house.admin, by=BY)
    own = await house.grants.give(Gift(principal_id=id_of(clerk), role_id=GUEST), acting=house.admin, by=BY)
    for grant in (given, own):
        await house.grants.take(grant.id, acting=clerk, by=BY)


async def test_what_was_open_ends_when_somebody_becomes_an_administrator(house: House) -> None:
    """By a grant of their own, by one to a group of theirs, and by being put into such a group; by no smaller one."""
    alice, bob, carol = [id_of(await house.user(name)) for name in ("alice", "bob", "carol")]
    leads = (await house.groups.create("leads", by=BY)).id
    await house.groups.add_member(leads, bob, acting=house.admin, by=BY)

    async def epochs() -> list[int]:
        return [(await house.users.get(each)).epoch for each in (alice, bob, carol)]

    before = await epochs()
    for gift in (
        Gift(principal_id=alice, role_id=SYSTEM_ADMIN, extent=Extent(repositories="team/**")),
        Gift(principal_id=leads, role_id=DEVELOPER),
    ):
        await house.grants.give(gift, acting=house.admin, by=BY)
    assert await epochs() == before
    await house.grants.give(Gift(principal_id=alice, permissions=frozenset(("*:*",))), acting=house.admin, by=BY)
    await house.grants.give(Gift(principal_id=leads, role_id=SYSTEM_ADMIN), acting=house.admin, by=BY)
    await house.groups.add_member(leads, carol, acting=house.admin, by=BY)
    assert await epochs() == [epoch + 1 for epoch in before]
    owners = (await house.groups.create("owners", by=BY)).id
    await house.grants.give(Gift(principal_id=owners, permissions=frozenset(("*:*",))), acting=house.admin, by=BY)
    await house.groups.add_member(owners, carol, acting=house.admin, by=BY)
    assert (await epochs())[2] == before[2] + 2


async def test_grants_have_a_limit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gets so many that each of their decisions takes long."""
    monkeypatch.setattr(grants, "MOST_GRANTS", 2)
    alice = id_of(await house.user("alice"))
    for name in ("team/a", "team/b"):
        gift = Gift(principal_id=alice, role_id=DEVELOPER, project="team", extent=Extent(repositories=name))
        await house.grants.give(gift, acting=house.admin, by=BY)
    with pytest.raises(Conflict, match="2 grants"):
        await house.grants.give(Gift(principal_id=alice, role_id=DEVELOPER), acting=house.admin, by=BY)


async def test_the_last_administrators_grant_stays(house: House) -> None:
    """It is not taken back by its number either, until there is another administrator with a password."""
    (grant,) = await house.grants.of(id_of(house.admin))
    with pytest.raises(PreconditionFailed, match="last administrator"):
        await house.grants.take(grant.id, acting=house.admin, by=BY)
    other = await house.users.create("other", PASSWORD, by=BY)
    await house.users.set_sysadmin(other.id, sysadmin=True, acting=house.admin, by=BY)
    await house.grants.take(grant.id, acting=house.admin, by=BY)
    assert not (await house.users.get(id_of(house.admin))).sysadmin


async def test_explaining_by_name(house: House) -> None:
    """Who asks reads which grant says yes, or what was near when none does."""
    alice = await house.user("alice", ("project:team", "pull"), ("repositories:other/**", "push"))
    said = await house.explaining.explain("alice", "pull", "team/app:v1")
    assert said.allowed
    assert "project team" in said.reason
    said = await house.explaining.explain("alice", "repository:push", "team/app")
    assert (said.allowed, said.reason) == (False, "no grant allows repository:push on repository team/app")
    assert len(said.trace) == 3
    assert any("does not match the repository" in line for line in said.trace)
    assert not (await house.explaining.explain("anonymous", "pull", "team/app")).allowed
    assert (await house.explaining.explain("admin", "configuration:update", "")).allowed
    assert (await house.explaining.explain("admin", "member:create", "team/")).allowed
    await house.users.set_disabled(id_of(alice), disabled=True, acting=house.admin, by=BY)
    assert "closed" in (await house.explaining.explain("alice", "pull", "team/app")).reason


@pytest.mark.parametrize(
    ("action", "target"),
    [
        ("fly", "team/app"),
        ("repository:*", "team/app"),
        ("pull", "Team"),
        ("pull", "team/app:"),
        ("pull", "a/b/"),
        ("pull", "/"),
    ],
)
async def test_questions_that_cannot_be(house: House, action: str, target: str) -> None:
    """A misspelt question is told, and not answered with a no that would mislead."""
    with pytest.raises(Invalid):
        await house.explaining.explain("admin", action, target)


async def test_explaining_names_who_is_not_there(house: House) -> None:
    """A name that nobody has is no refusal."""
    with pytest.raises(NotFound, match="no user bob"):
        await house.explaining.explain("bob", "pull", "team/app")
    with pytest.raises(NotFound, match="no robot admin"):
        await house.explaining.explain("admin", "pull", "team/app", robot=True)
