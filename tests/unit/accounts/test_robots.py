"""Making, changing and removing robots."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import bindparam, update

from entrepot.access.api_key_sign_in import KeySignIn
from entrepot.access.api_key_uses import KeyUses
from entrepot.access.api_keys import hash_key, is_key
from entrepot.access.authorizer import Authorizer
from entrepot.access.faults import Conflict, Forbidden, Invalid, NotFound
from entrepot.access.model import Principal, PrincipalKind, Target
from entrepot.access.passwords.credentials import Basic
from entrepot.access.permissions import EVERYTHING, PULL, PUSH, Permission
from entrepot.access.policy import Policy
from entrepot.access.tokens.robot_trust import parse_trusts
from entrepot.accounts.robot_model import NewRobot, RobotChange, RobotSettings, RobotWithSecret
from entrepot.accounts.robot_permissions import Kind, RobotPermission
from entrepot.accounts.robots import LONGEST_GRACE, Robots
from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.metadata import clock, tables
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database
from entrepot.metadata.filtering import Selection
from entrepot.metadata.people import api_keys, grants, principals
from entrepot.metadata.query import Query
from entrepot.oci.reference import RepositoryName
from entrepot.projects.service import Projects
from entrepot.registry.model import Actor
from entrepot.registry.service import build_registry
from entrepot.registry.settings import RegistrySettings
from tests.support.events import recorded
from tests.support.rights import give
from tests.unit.accounts.conftest import BY, person

MAKE_ROBOTS = Permission("robot:create")
DAY = 24 * 3600 * clock.MICROSECONDS
_OLDER = Query(
    update(tables.principals)
    .where(tables.principals.c.id == bindparam("robot"))
    .values(created_at=tables.principals.c.created_at - bindparam("by")),
    "test.older",
)
TRUST = parse_trusts([{"issuer": "https://ci.test", "audience": "us", "claims": {"repository": "acme/app"}}])


def allowed(*access: str, namespace: str = "demo", **narrowed: str) -> RobotPermission:
    """Write a permission shortly."""
    kind = Kind.SYSTEM if namespace == "/" else Kind.PROJECT
    return RobotPermission(kind=kind, namespace=namespace, access=tuple(map(Permission, access)), **narrowed)


READ_DEMO = allowed("repository:pull")


async def make(
    robots: Robots, acting: Principal | None, *permissions: RobotPermission, **more: object
) -> RobotWithSecret:
    """Make a robot of project demo."""
    fields = {"name": "ci", "project": "demo", "permissions": permissions, **more}
    return await robots.create(NewRobot(**fields), acting=acting, by=BY)  # type: ignore[arg-type]


async def signs_in(database: Database, name: str, secret: str) -> Principal | None:
    """Sign in with a key, as the web layer does."""
    sign_in = KeySignIn(database, Policy(database, max_age=0), KeyUses(database))
    return await sign_in.verify(Basic(name, secret), "192.0.2.1")


def principal_of(made: RobotWithSecret) -> Principal:
    """Return a robot as who acts."""
    return Principal(kind=PrincipalKind.ROBOT, name=made.robot.name, id=made.robot.id)


async def test_a_robot_signs_in_and_does_what_it_may(
    robots: Robots, database: Database, admin: Principal, authorizer: Authorizer
) -> None:
    """Harbor's name, ninety days, a key as its secret, and the rights that it was given: no others."""
    made = await make(robots, admin, allowed("repository:pull", "repository:push", repositories="demo/app"))
    robot = made.robot
    assert (robot.name, robot.project, robot.creator, robot.duration) == ("robot$demo+ci", "demo", "user:admin", 90)
    assert robot.expires_at == robot.created_at + 90 * DAY
    assert is_key(made.secret)
    assert made.secret not in repr(made)
    principal = await signs_in(database, robot.name, made.secret)
    assert principal is not None
    assert principal.label == "robot:robot$demo+ci"
    for name, expected in (("demo/app", True), ("demo/other", False), ("other/app", False)):
        assert (await authorizer.allows(principal, PUSH, Target.of(RepositoryName(name)))).allowed is expected
    told = (await recorded(database))[-1]
    assert (told.kind, told.subject, told.project, told.actor) == ("create", "robot:robot$demo+ci", "demo", "admin")
    assert made.secret[8:] not in repr(told)


async def test_permissions_come_back_as_they_were_given(robots: Robots, admin: Principal) -> None:
    """A robot of the registry may have each kind of permission; across projects, `*` is spelt out."""
    given = (
        allowed("project:create", namespace="/"),
        allowed("repository:*", namespace="demo"),
        allowed("repository:pull", namespace="*"),
        allowed("repository:pull", namespace="*", repositories="*/base"),
        allowed("tag:create", namespace="other", repositories="other/**", tags="v*"),
    )
    made = await make(robots, admin, *given, project=None)
    assert made.robot.name == "robot$ci"
    assert set(made.robot.permissions) == set(given)
    wide = await make(robots, admin, allowed("*:*", namespace="*"), project=None, name="wide")
    (permission,) = wide.robot.permissions
    assert "repository:push" in permission.access
    assert "user:create" not in permission.access


async def test_every_project_is_not_the_registry(robots: Robots, admin: Principal, authorizer: Authorizer) -> None:
    """`*` as namespace reaches what every project has, and nothing that only the registry has."""
    made = await make(robots, admin, allowed("robot:create", "repository:push", namespace="*"), project=None)
    principal = principal_of(made)
    assert (await authorizer.allows(principal, MAKE_ROBOTS, Target("other"))).allowed
    assert (await authorizer.allows(principal, PUSH, Target.of(RepositoryName("other/x")))).allowed
    assert not (await authorizer.allows(principal, MAKE_ROBOTS, Target())).allowed


async def test_a_robot_of_a_project_stays_there(robots: Robots, admin: Principal) -> None:
    """CVE-2019-16919: a project's robot has rights on that project alone, whoever makes or changes it."""
    for elsewhere in (allowed("repository:pull", namespace="other"), allowed("repository:pull", namespace="*")):
        with pytest.raises(Invalid, match="on demo only"):
            await make(robots, admin, elsewhere)
    with pytest.raises(Invalid, match="on demo only"):
        await make(robots, admin, allowed("user:create", namespace="/"))
    made = await make(robots, admin, READ_DEMO)
    change = RobotChange(permissions=(allowed("repository:pull", namespace="other"),))
    with pytest.raises(Invalid):
        await robots.update(made.robot.id, change, acting=admin, by=BY)


@pytest.mark.parametrize(
    "permission",
    [
        allowed(),
        allowed("repository:fly"),
        allowed("user:create"),
        allowed("repository:pull", namespace="/"),
        allowed("repository:pull", repositories="a{b"),
        allowed("repository:pull", tags=""),
        allowed("project:create", namespace="/", repositories="x"),
        RobotPermission(kind=Kind.PROJECT, namespace="/", access=(PULL,)),
        RobotPermission(kind=Kind.SYSTEM, namespace="demo", access=(PULL,)),
    ],
)
async def test_permissions_that_mean_nothing(permission: RobotPermission, robots: Robots, admin: Principal) -> None:
    """A permission without actions, with unknown ones, or on a place that does not have them is refused."""
    with pytest.raises(Invalid):
        await make(robots, admin, permission, project=None)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "Big"},
        {"name": "a b"},
        {"name": "a$b"},
        {"name": "-a"},
        {"name": "a" * 256},
        {"description": "x" * 1025},
        {"duration": 0},
        {"duration": -2},
        {"duration": 100_000},
        {"secret": "short1A"},
        {"secret": "no capital letter 1"},
        {"secret": "NO SMALL LETTER 1"},
        {"secret": "No digit at all"},
    ],
)
async def test_what_a_robot_cannot_be(fields: dict[str, object], robots: Robots, admin: Principal) -> None:
    """Names, days and secrets follow Harbor's rules."""
    with pytest.raises(Invalid):
        await make(robots, admin, READ_DEMO, **fields)


async def test_names_are_taken(robots: Robots, admin: Principal, database: Database) -> None:
    """One robot of a name in a project; another project may have it too, and a user's name is nobody else's."""
    await make(robots, admin, READ_DEMO)
    with pytest.raises(Conflict):
        await make(robots, admin, READ_DEMO)
    await make(robots, admin, project="other")
    await person(database, "robot$demo+taken")
    with pytest.raises(Conflict):
        await make(robots, admin, READ_DEMO, name="taken")
    with pytest.raises(NotFound):
        await make(robots, admin, project="missing")
    with pytest.raises(NotFound):
        await make(robots, admin, allowed("repository:pull", namespace="missing"), project=None)


async def test_the_prefix_and_the_days_are_settings(
    database: Database, authorizer: Authorizer, admin: Principal
) -> None:
    """An administrator may choose both for robots to come; -1 means for ever."""

    async def settings() -> RobotSettings:
        return RobotSettings(prefix="bot-", duration=-1)

    robots = Robots(database, authorizer, str, settings=settings)
    made = await make(robots, admin, READ_DEMO)
    assert (made.robot.name, made.robot.duration, made.robot.expires_at) == ("bot-demo+ci", -1, None)
    assert (await robots.find_named("bot-demo+ci")).id == made.robot.id


async def test_nobody_makes_a_robot_that_may_more(robots: Robots, database: Database, admin: Principal) -> None:
    """A maker needs each right, on the whole place and without an earlier end; the operator needs none."""
    guest = await person(database, "guest", ("project:demo", "pull"))
    await make(robots, guest, READ_DEMO)
    for number, permission in enumerate(
        (allowed("repository:push"), allowed("repository:pull", "repository:push"), allowed("*:*"))
    ):
        with pytest.raises(Forbidden, match="cannot give"):
            await make(robots, guest, permission, name=f"more{number}")
    with pytest.raises(Forbidden):
        await make(robots, guest, allowed("repository:pull", namespace="*"), project=None)
    token = replace(admin, scopes=())
    with pytest.raises(Forbidden):
        await make(robots, token, READ_DEMO, name="by-token")
    operators = await make(robots, None, allowed(str(EVERYTHING)), name="operators")
    assert operators.robot.creator == "admin"


async def test_a_robot_makes_robots_that_may_no_more(robots: Robots, admin: Principal) -> None:
    """A robot that may make robots gives what it has, for no longer than it lives itself."""
    access = ("repository:pull", "repository:push", "robot:create")
    parent = await make(robots, admin, allowed(*access), name="parent", duration=30)
    acting = principal_of(parent)
    child = await make(robots, acting, allowed(*access), name="child", duration=29)
    assert child.robot.creator == "robot:robot$demo+parent"
    for name, permission, days in (
        ("deletes", allowed("artifact:delete"), 29),
        ("outlives", READ_DEMO, 31),
        ("for-ever", READ_DEMO, -1),
        ("elsewhere", allowed("repository:pull", namespace="other"), 29),
    ):
        place = "other" if name == "elsewhere" else "demo"
        with pytest.raises(Forbidden):
            await make(robots, acting, permission, name=name, duration=days, project=place)


async def test_a_secret_is_replaced(robots: Robots, database: Database, admin: Principal) -> None:
    """The old one is nobody at once, or after a time of grace; a given one is kept as a slow hash alone."""
    made = await make(robots, admin, READ_DEMO)
    number, name = made.robot.id, made.robot.name
    second = await robots.refresh_secret(number, acting=admin, by=BY)
    assert await api_keys.find_with_account(database, hash_key(made.secret)) is None
    assert await signs_in(database, name, second.secret) is not None
    third = await robots.refresh_secret(number, acting=admin, by=BY, grace=60)
    fourth = await robots.refresh_secret(number, acting=admin, by=BY, grace=60)
    for secret in (second.secret, third.secret, fourth.secret):
        assert await signs_in(database, name, secret) is not None
    assert len(await api_keys.of_principal(database, number)) == 3
    given = await robots.refresh_secret(number, "Given by 1 person", acting=admin, by=BY)
    assert given.secret == "Given by 1 person"
    assert await api_keys.of_principal(database, number) == []
    record = await principals.find_by_id(database, number)
    assert record is not None
    assert record.secret == "nosrep 1 yb neviG"
    made_again = await robots.refresh_secret(number, acting=admin, by=BY, grace=60)
    record = await principals.find_by_id(database, number)
    assert record is not None
    assert record.secret is None
    assert await signs_in(database, name, made_again.secret) is not None
    for grace in (-1.0, LONGEST_GRACE + 1.0):
        with pytest.raises(Invalid):
            await robots.refresh_secret(number, acting=admin, by=BY, grace=grace)
    assert "1 person" not in repr(await recorded(database))


async def test_who_learns_a_secret_has_the_rights(robots: Robots, database: Database, admin: Principal) -> None:
    """Whoever may manage robots, but not push, takes over no robot that pushes: by no secret, trust or longer life."""
    made = await make(robots, admin, allowed("repository:push"))
    number = made.robot.id
    manager = await person(database, "manager", ("project:demo", "robot:update,pull"))
    with pytest.raises(Forbidden):
        await robots.refresh_secret(number, acting=manager, by=BY)
    for change in (
        RobotChange(trust=TRUST),
        RobotChange(duration=-1),
        RobotChange(permissions=(READ_DEMO, allowed("repository:push"))),
    ):
        with pytest.raises(Forbidden):
            await robots.update(number, change, acting=manager, by=BY)
    changed = await robots.update(number, RobotChange(description="mine"), acting=manager, by=BY)
    assert (changed.description, changed.permissions) == ("mine", made.robot.permissions)


async def test_who_takes_from_a_robot_may_as_much(robots: Robots, database: Database, admin: Principal) -> None:
    """Narrowed, closed or removed, also by rights that were given to it beside its own, and for however long."""
    made = await make(robots, admin, allowed("repository:push"))
    await database.write(
        lambda tx: grants.add(tx, origin="given", principal_id=made.robot.id, permissions=["tag:list"])
    )
    number = made.robot.id
    pusher = await person(database, "pusher", ("project:demo", "robot:update,robot:delete,push"))
    for change in (RobotChange(permissions=()), RobotChange(disabled=True), RobotChange(trust=TRUST)):
        with pytest.raises(Forbidden, match="cannot take"):
            await robots.update(number, change, acting=pusher, by=BY)
    with pytest.raises(Forbidden, match="cannot take"):
        await robots.remove(number, acting=pusher, by=BY)
    lister = await make(robots, admin, allowed("tag:list", namespace="*"), name="lister", project=None, duration=1)
    with pytest.raises(Forbidden, match="repository:push"):
        await robots.remove(number, acting=principal_of(lister), by=BY)
    await give(database, "*", "push,tag:list", principal_id=lister.robot.id)
    await robots.update(number, RobotChange(disabled=True), acting=principal_of(lister), by=BY)
    await robots.remove(number, acting=principal_of(lister), by=BY)


async def test_a_robot_is_changed(robots: Robots, database: Database, admin: Principal) -> None:
    """What is given changes, the rest stays; its days count from when it was made; each change is an event."""
    made = await make(robots, admin, READ_DEMO, trust=TRUST)
    number = made.robot.id
    changed = await robots.update(number, RobotChange(description="new", duration=5), acting=admin, by=BY)
    assert (changed.description, changed.expires_at) == ("new", made.robot.created_at + 5 * DAY)
    assert (changed.permissions, changed.trust, changed.disabled) == ((READ_DEMO,), TRUST, False)
    await database.write(lambda tx: grants.add(tx, origin="by hand", principal_id=number, permissions=["tag:list"]))
    changed = await robots.update(number, RobotChange(permissions=(), trust=()), acting=admin, by=BY)
    assert (changed.permissions, changed.trust) == ((), ())
    assert [grant.origin for grant in await grants.of_principal(database, number)] == ["by hand"]
    told = [event for event in await recorded(database) if event.kind == "update"]
    assert [event.detail for event in told] == [{"description": "new", "duration": 5}, {"permissions": [], "trust": []}]
    with pytest.raises(NotFound):
        await robots.update(10**6, RobotChange(), acting=admin, by=BY)


async def test_a_life_that_is_over_already(robots: Robots, database: Database, admin: Principal) -> None:
    """Fewer days than have passed since the robot was made are refused."""
    made = await make(robots, admin, READ_DEMO)
    await _make_older(database, made.robot.id, days=10)
    with pytest.raises(Invalid, match="ended already"):
        await robots.update(made.robot.id, RobotChange(duration=9), acting=admin, by=BY)
    assert (await robots.update(made.robot.id, RobotChange(duration=11), acting=admin, by=BY)).duration == 11


async def _make_older(database: Database, robot_id: int, *, days: int) -> None:
    """Let a robot have been made so many days ago."""
    await database.write(lambda tx: tx.execute(_OLDER, robot=robot_id, by=days * DAY))


async def test_closing_ends_what_was_open(robots: Robots, database: Database, admin: Principal) -> None:
    """A closed robot, and one whose trust was taken back, have another epoch; more trust ends nothing."""
    made = await make(robots, admin, READ_DEMO)
    number = made.robot.id

    async def epoch() -> int:
        record = await principals.find_by_id(database, number)
        assert record is not None
        return record.epoch

    await robots.update(number, RobotChange(trust=TRUST), acting=admin, by=BY)
    assert await epoch() == 0
    await robots.update(number, RobotChange(trust=()), acting=admin, by=BY)
    assert await epoch() == 1
    await robots.update(number, RobotChange(disabled=True, permissions=(READ_DEMO,)), acting=admin, by=BY)
    assert await epoch() == 2
    closed = await make(robots, admin, READ_DEMO, name="closed", disabled=True)
    assert closed.robot.disabled


async def test_a_robot_is_removed(robots: Robots, database: Database, admin: Principal) -> None:
    """With it go its secret and its grants; the second removal finds nothing."""
    made = await make(robots, admin, READ_DEMO)
    await robots.remove(made.robot.id, acting=admin, by=BY)
    assert await api_keys.find_with_account(database, hash_key(made.secret)) is None
    assert await grants.of_principal(database, made.robot.id) == []
    told = (await recorded(database))[-1]
    assert (told.kind, told.subject, told.project) == ("delete", "robot:robot$demo+ci", "demo")
    for call in (robots.remove(made.robot.id, acting=admin, by=BY), robots.find_named("robot$demo+ci")):
        with pytest.raises(NotFound):
            await call


async def test_a_deleted_project_leaves_no_robot_behind(robots: Robots, database: Database, admin: Principal) -> None:
    """Its robots' accounts and secrets go with it; those of the registry stay, without their rights on it."""
    made = await make(robots, admin, READ_DEMO)
    other = await make(robots, admin, READ_DEMO, name="all", project=None)
    demo = await projects.find(database, "demo")
    assert demo is not None
    registry = build_registry(metadata=database, work=database, store=MemoryBlobStore(), settings=RegistrySettings())
    await Projects(database, Policy(database, max_age=0), registry).delete(demo, by=Actor(name=BY.name))
    assert await principals.find_by_id(database, made.robot.id) is None
    assert await api_keys.find_with_account(database, hash_key(made.secret)) is None
    assert (await robots.find(other.robot.id)).permissions == ()


async def test_pages_show_permissions(robots: Robots, database: Database, admin: Principal) -> None:
    """A page of a project's robots has each one whole."""
    await make(robots, admin, READ_DEMO)
    await make(robots, admin, name="all", project=None)
    demo = await projects.find(database, "demo")
    assert demo is not None
    page = await robots.page(demo.id, Selection())
    assert [(robot.name, robot.permissions) for robot in page.items] == [("robot$demo+ci", (READ_DEMO,))]
    assert [robot.name for robot in (await robots.page(None, Selection())).items] == ["robot$all"]
