"""Roles that people make, beside those that come with the registry."""

import pytest

from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from entrepot.access.model import Target
from entrepot.access.permissions import PULL, PUSH
from entrepot.access.roles import BUILT_IN, FIRST_CUSTOM, GUEST
from entrepot.oci.reference import RepositoryName
from tests.contracts.accounts.conftest import BY, House, id_of

APP = Target.of(RepositoryName.parse("team/app"))


async def test_a_role_is_made_given_changed_and_removed(house: House) -> None:
    """A change reaches all who have it; it goes when nobody has it."""
    role = await house.roles.create("puller", ["repository:pull"], acting=house.admin, by=BY, description="Pulls.")
    assert (role.id, role.name, role.built_in, role.permissions) == (FIRST_CUSTOM, "puller", False, {"repository:pull"})
    assert await house.last_event() == ("create", "role:puller", '{"permissions": ["repository:pull"]}')
    alice = await house.user("alice")
    member = await house.members.add(house.team, id_of(alice), role.id, acting=house.admin, by=BY)
    assert (await house.authorizer.allows(alice, PULL, APP)).allowed
    assert not (await house.authorizer.allows(alice, PUSH, APP)).allowed
    changed = await house.roles.change(
        role.id, name="pusher", permissions=["repository:pull", "repository:push"], acting=house.admin, by=BY
    )
    assert (changed.id, changed.name) == (role.id, "pusher")
    assert (await house.authorizer.allows(alice, PUSH, APP)).allowed
    with pytest.raises(PreconditionFailed, match="given 1 times"):
        await house.roles.remove(role.id, by=BY)
    await house.members.remove(house.team, member.id, acting=house.admin, by=BY)
    await house.roles.remove(role.id, by=BY)
    assert await house.roles.find("pusher") is None
    second = await house.roles.create("other", ["tag:*"], acting=house.admin, by=BY)
    assert second.id >= FIRST_CUSTOM
    assert second.permissions == {"tag:*"}


async def test_all_roles_are_listed(house: House) -> None:
    """Those that come with the registry are among them."""
    await house.roles.create("puller", ["repository:pull"], acting=house.admin, by=BY)
    listed = {role.id: role.name for role in await house.roles.list()}
    assert listed == {role.id: role.name for role in BUILT_IN} | {FIRST_CUSTOM: "puller"}


async def test_what_comes_with_the_registry_stays(house: House) -> None:
    """Nobody makes guests into something else, or takes them away."""
    with pytest.raises(PreconditionFailed, match="comes with the registry"):
        await house.roles.change(GUEST, name="guest", permissions=["*:*"], acting=house.admin, by=BY)
    with pytest.raises(PreconditionFailed):
        await house.roles.remove(GUEST, by=BY)
    with pytest.raises(NotFound):
        await house.roles.get(7)


@pytest.mark.parametrize(
    ("name", "permissions"),
    [
        ("", ["repository:pull"]),
        ("x" * 101, ["repository:pull"]),
        ("a\nb", ["repository:pull"]),
        ("<b>", ["repository:pull"]),
        ("x", []),
        ("x", ["repository:fly"]),
        ("x", ["pull"]),
        ("x", ["repository:pull,member:create"]),
        ("x", ["nothing:*"]),
    ],
)
async def test_roles_that_cannot_be(house: House, name: str, permissions: list[str]) -> None:
    """A name that people can read, and permissions from the list."""
    with pytest.raises(Invalid):
        await house.roles.create(name, permissions, acting=house.admin, by=BY)


async def test_names_are_unique(house: House) -> None:
    """Also against those that come with the registry."""
    await house.roles.create("a", ["repository:pull"], acting=house.admin, by=BY)
    other = await house.roles.create("b", ["repository:pull"], acting=house.admin, by=BY)
    for name in ("a", "guest"):
        with pytest.raises(Conflict):
            await house.roles.create(name, ["repository:pull"], acting=house.admin, by=BY)
        with pytest.raises(Conflict):
            await house.roles.change(other.id, name=name, permissions=["repository:pull"], acting=house.admin, by=BY)


async def test_nobody_writes_into_a_role_what_they_do_not_have(house: House) -> None:
    """Who may manage roles does not get more by changing the one that they have, nor takes from a stronger one."""
    clerk = await house.user("clerk", ("*", "role:create,role:update,role:list,repository:pull"))
    role = await house.roles.create("puller", ["repository:pull"], acting=clerk, by=BY)
    for wanted in (["repository:push"], ["*:*"], ["repository:*"]):
        with pytest.raises(Forbidden, match="do not have"):
            await house.roles.create("more", wanted, acting=clerk, by=BY)
        with pytest.raises(Forbidden):
            await house.roles.change(role.id, name="puller", permissions=wanted, acting=clerk, by=BY)
    strong = await house.roles.create("strong", ["repository:push"], acting=house.admin, by=BY)
    with pytest.raises(Forbidden):
        await house.roles.change(strong.id, name="strong", permissions=["repository:pull"], acting=clerk, by=BY)
