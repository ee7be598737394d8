"""Members of projects: users and groups with a role, on all of it or on a part, for ever or for a time."""

import pytest

from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound
from entrepot.access.model import Principal, Target
from entrepot.access.permissions import DELETE, PULL, PUSH, Permission
from entrepot.access.roles import DEVELOPER, GUEST, MAINTAINER, PROJECT_ADMIN, REGISTRY2, SYSTEM_ADMIN
from entrepot.accounts.grant_requests import Extent
from entrepot.metadata import clock
from entrepot.metadata.contents import projects
from entrepot.metadata.filtering import Condition, Match, Order, Selection
from entrepot.metadata.people import principals
from entrepot.oci.reference import RepositoryName
from tests.contracts.accounts.conftest import BY, House, id_of
from tests.support.rights import give


def target(name: str, tag: str | None = None) -> Target:
    return Target.of(RepositoryName.parse(name), tag)


async def may(house: House, who: Principal, permission: Permission, name: str, tag: str | None = None) -> bool:
    return (await house.authorizer.allows(who, permission, target(name, tag))).allowed


async def test_a_member_has_a_role(house: House) -> None:
    """Added, changed and removed; each is in the audit log with the project."""
    alice = await house.user("alice")
    member = await house.members.add(house.team, id_of(alice), GUEST, acting=house.admin, by=BY)
    assert (member.principal_name, member.principal_kind, member.role, member.project) == (
        "alice",
        "user",
        "guest",
        "team",
    )
    assert await house.last_event() == ("grant", "user:alice", f'{{"gives": "guest", "grant": {member.id}}}')
    assert (await may(house, alice, PULL, "team/app"), await may(house, alice, PUSH, "team/app")) == (True, False)
    changed = await house.members.change(house.team, member.id, DEVELOPER, acting=house.admin, by=BY)
    assert (changed.id, changed.role) == (member.id, "developer")
    assert await may(house, alice, PUSH, "team/app")
    await house.members.remove(house.team, member.id, acting=house.admin, by=BY)
    assert not await may(house, alice, PULL, "team/app")
    assert (await house.last_event())[:2] == ("revoke", "user:alice")


async def test_groups_are_members_too(house: House) -> None:
    """Harbor's entity type `g`; robots are no members."""
    alice = await house.user("alice")
    group = await house.groups.create("testers", by=BY)
    await house.groups.add_member(group.id, id_of(alice), acting=house.admin, by=BY)
    member = await house.members.add(house.team, group.id, GUEST, acting=house.admin, by=BY)
    assert member.principal_kind == "group"
    assert await may(house, alice, PULL, "team/app")
    robot = await house.database.write(lambda tx: principals.create(tx, principals.ROBOT, "robot$ci", secret=None))
    assert robot is not None
    with pytest.raises(NotFound):
        await house.members.add(house.team, robot.id, GUEST, acting=house.admin, by=BY)
    grant = await give(house.database, "project:team", "pull", principal_id=robot.id)
    with pytest.raises(NotFound):
        await house.members.get(house.team, grant)
    assert [found.id for found in (await house.members.page(house.team, Selection())).items] == [member.id]


async def test_members_are_listed(house: House) -> None:
    """By name, page by page, filtered by a part of the name and by role; those of other projects are not there."""
    other = await house.database.write(lambda tx: projects.ensure(tx, "other"))
    for name, role in (("carol", GUEST), ("alice", DEVELOPER), ("bob", GUEST)):
        user = await house.user(name)
        await house.members.add(house.team, id_of(user), role, acting=house.admin, by=BY)
        await house.members.add(other, id_of(user), GUEST, acting=house.admin, by=BY)
    first = await house.members.page(house.team, Selection(limit=2))
    assert ([member.principal_name for member in first.items], first.total) == (["alice", "bob"], 3)
    wanted = Condition(field="entity_name", match=Match.CONTAINS, values=("CAR",))
    found = await house.members.page(house.team, Selection(conditions=(wanted,)))
    assert [member.principal_name for member in found.items] == ["carol"]
    guests = Condition(field="role_id", match=Match.EQUAL, values=(GUEST,))
    down = Selection(conditions=(guests,), order=(Order("entity_name", descending=True),))
    found = await house.members.page(house.team, down)
    assert [member.principal_name for member in found.items] == ["carol", "bob"]


async def test_one_role_on_one_part(house: House) -> None:
    """A second role on the same part is a conflict; on another part it is another membership."""
    alice = await house.user("alice")
    await house.members.add(house.team, id_of(alice), GUEST, acting=house.admin, by=BY)
    with pytest.raises(Conflict, match="already"):
        await house.members.add(house.team, id_of(alice), DEVELOPER, acting=house.admin, by=BY)
    extent = Extent(repositories="team/web/**", tags="dev-*")
    member = await house.members.add(house.team, id_of(alice), DEVELOPER, acting=house.admin, by=BY, extent=extent)
    assert (member.repositories, member.tags) == ("team/web/**", "dev-*")
    assert await may(house, alice, PUSH, "team/web/front", "dev-1")
    assert not await may(house, alice, PUSH, "team/web/front", "v1")
    assert not await may(house, alice, PUSH, "team/app", "dev-1")
    kept = await house.members.change(house.team, member.id, MAINTAINER, acting=house.admin, by=BY)
    assert (kept.repositories, kept.tags) == ("team/web/**", "dev-*")
    assert await may(house, alice, DELETE, "team/web/front", "dev-1")
    wider = await house.members.change(
        house.team, member.id, MAINTAINER, acting=house.admin, by=BY, extent=Extent(repositories="team/**")
    )
    assert (wider.repositories, wider.tags) == ("team/**", None)
    assert await may(house, alice, DELETE, "team/app", "v1")


async def test_a_membership_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its moment the right is gone, without anybody doing anything."""
    alice = await house.user("alice")
    end = clock.after(3600)
    extent = Extent(expires_at=end)
    await house.members.add(house.team, id_of(alice), GUEST, acting=house.admin, by=BY, extent=extent)
    assert await may(house, alice, PULL, "team/app")
    monkeypatch.setattr(clock, "now", lambda: end)
    assert not await may(house, alice, PULL, "team/app")


@pytest.mark.parametrize(
    "extent",
    [
        Extent(repositories="other/**"),
        Extent(repositories="web/**"),
        Extent(repositories=""),
        Extent(repositories="team/{a"),
        Extent(repositories="x" * 513),
        Extent(tags=""),
        Extent(tags="a}"),
        Extent(expires_at=1),
    ],
)
async def test_extents_that_cannot_be(house: House, extent: Extent) -> None:
    """A pattern that can be read and is over names of the project, and an end that lies ahead."""
    alice = await house.user("alice")
    with pytest.raises(Invalid):
        await house.members.add(house.team, id_of(alice), GUEST, acting=house.admin, by=BY, extent=extent)
    assert await house.grants.of(id_of(alice)) == []


async def test_roles_of_the_registry_are_none_of_a_project(house: House) -> None:
    """Nobody is made systemAdmin of a project, and no role is given that there is not."""
    alice = await house.user("alice")
    for role in (SYSTEM_ADMIN, REGISTRY2):
        with pytest.raises(Invalid, match="whole registry"):
            await house.members.add(house.team, id_of(alice), role, acting=house.admin, by=BY)
    with pytest.raises(NotFound, match="no role 77"):
        await house.members.add(house.team, id_of(alice), 77, acting=house.admin, by=BY)
    with pytest.raises(NotFound):
        await house.members.add(house.team, 999, GUEST, acting=house.admin, by=BY)


async def test_nobody_gives_more_than_they_have(house: House) -> None:
    """A maintainer who may add members makes no administrators, nor lets their own role last longer."""
    role = await house.roles.create("host", ["member:*", "project:read", "repository:pull"], acting=house.admin, by=BY)
    host, alice = await house.user("host"), await house.user("alice")
    soon = Extent(expires_at=clock.after(3600))
    mine = await house.members.add(house.team, id_of(host), role.id, acting=house.admin, by=BY, extent=soon)
    for wanted in (PROJECT_ADMIN, DEVELOPER, GUEST, role.id):
        with pytest.raises(Forbidden, match="do not have"):
            await house.members.add(house.team, id_of(alice), wanted, acting=host, by=BY)
    with pytest.raises(Forbidden):
        await house.members.change(house.team, mine.id, PROJECT_ADMIN, acting=host, by=BY)
    with pytest.raises(Forbidden):
        await house.members.change(house.team, mine.id, role.id, acting=host, by=BY, extent=Extent())
    sooner = Extent(expires_at=clock.after(60))
    given = await house.members.add(house.team, id_of(alice), role.id, acting=host, by=BY, extent=sooner)
    assert given.role == "host"


async def test_nobody_takes_from_who_may_more(house: House) -> None:
    """A helper who may manage members neither removes nor demotes who may more; their own role they may leave."""
    helper = await house.user("helper", ("project:team", "member:*,project:read,repository:pull"))
    chief, alice = await house.user("chief"), await house.user("alice")
    reader = await house.roles.create("reader", ["repository:pull"], acting=house.admin, by=BY)
    strong = await house.members.add(house.team, id_of(chief), PROJECT_ADMIN, acting=house.admin, by=BY)
    weak = await house.members.add(house.team, id_of(alice), reader.id, acting=house.admin, by=BY)
    own = await house.members.add(house.team, id_of(helper), GUEST, acting=house.admin, by=BY)
    with pytest.raises(Forbidden, match="cannot take what you do not have"):
        await house.members.remove(house.team, strong.id, acting=helper, by=BY)
    with pytest.raises(Forbidden, match="cannot take"):
        await house.members.change(house.team, strong.id, reader.id, acting=helper, by=BY)
    for member in (weak, own):
        await house.members.remove(house.team, member.id, acting=helper, by=BY)
    await house.members.remove(house.team, strong.id, acting=None, by=BY)


async def test_cve_2019_16919_a_projects_administrator_gives_nothing_elsewhere(house: House) -> None:
    """A project administrator adds members at home and nowhere else."""
    other = await house.database.write(lambda tx: projects.ensure(tx, "other"))
    boss, alice = await house.user("boss"), await house.user("alice")
    await house.members.add(house.team, id_of(boss), PROJECT_ADMIN, acting=house.admin, by=BY)
    await house.members.add(house.team, id_of(alice), MAINTAINER, acting=boss, by=BY)
    with pytest.raises(Forbidden):
        await house.members.add(other, id_of(alice), GUEST, acting=boss, by=BY)


async def test_a_member_of_another_project_is_not_there(house: House) -> None:
    """Its id with this project's name is unknown for reading, changing and removing."""
    other = await house.database.write(lambda tx: projects.ensure(tx, "other"))
    alice = await house.user("alice")
    member = await house.members.add(house.team, id_of(alice), GUEST, acting=house.admin, by=BY)
    for attempt in (
        lambda: house.members.get(other, member.id),
        lambda: house.members.change(other, member.id, DEVELOPER, acting=house.admin, by=BY),
        lambda: house.members.remove(other, member.id, acting=house.admin, by=BY),
    ):
        with pytest.raises(NotFound, match="no such member"):
            await attempt()
    assert (await house.members.get(house.team, member.id)).role == "guest"
