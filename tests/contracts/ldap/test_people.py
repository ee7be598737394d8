"""Accounts follow the directory on both databases: made, changed, moved, closed, opened, and never confused."""

from dataclasses import replace

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.model import Principal, Target
from entrepot.access.policy import Policy
from entrepot.access.roles import DEVELOPER, ensure_roles
from entrepot.accounts.directory.model import DirectoryGroup, Person
from entrepot.accounts.directory.people import NotAdmitted, People
from entrepot.accounts.directory.plan_execution import close
from entrepot.accounts.users import Users
from entrepot.metadata import events
from entrepot.metadata.contents import projects
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import directory_people, grants, groups, memberships, principals, sync_runs, users
from entrepot.metadata.people.users import UserRecord
from entrepot.metadata.tables import metadata
from tests.support.databases import create_all
from tests.support.directory import ScriptedDirectory
from tests.support.rows import runs_of

BY = Source(name="test")
DEVS = DirectoryGroup(subject="cn=devs,dc=example", name="devs")
OPS = DirectoryGroup(subject="cn=ops,dc=example", name="ops")
ALICE = Person(
    subject="uid=alice,dc=example", name="alice", email="alice@example.org", realname="Alice", groups=(DEVS,)
)


@pytest.fixture
async def rows(database: Database) -> Database:
    """Give an empty database with all tables and roles."""
    await create_all(database, metadata)
    await ensure_roles(database)
    return database


@pytest.fixture
def people(accounts: Database) -> People:
    """Give the people of a directory that has none but those who are given."""
    return People(accounts, ScriptedDirectory())


async def account(rows: Database, name: str = "alice") -> UserRecord:
    """Return somebody who must be there."""
    found = await users.find(rows, name)
    assert found is not None
    return found


async def group_names(rows: Database, name: str = "alice") -> list[str]:
    """List the groups of an account."""
    return [group.name for group in await memberships.groups_of(rows, (await account(rows, name)).id)]


async def test_the_first_sign_in_makes_the_account(rows: Database) -> None:
    """With profile, groups and an event; the second one writes nothing."""
    people = People(rows, ScriptedDirectory())
    principal = await people.admit(ALICE, address="192.0.2.1")
    alice = await account(rows)
    assert (principal.name, principal.id, principal.epoch) == ("alice", alice.id, alice.epoch)
    assert (alice.email, alice.realname, alice.provider, alice.subject) == (
        "alice@example.org",
        "Alice",
        "ldap",
        "uid=alice,dc=example",
    )
    assert await group_names(rows) == ["devs"]
    last = await events.last_id(rows)
    assert last > 0
    assert await people.admit(ALICE) == principal
    assert await events.last_id(rows) == last


async def test_what_the_directory_changes_is_changed_here(rows: Database) -> None:
    """Profile, groups, administrator and name follow; the account and what it was granted stay."""
    people = People(rows, ScriptedDirectory())
    first = await people.admit(ALICE)
    changed = replace(ALICE, name="alicia", email="a@example.org", groups=(OPS,), is_admin=True)
    second = await people.admit(changed)
    assert second.id == first.id
    alicia = await account(rows, "alicia")
    assert (alicia.email, alicia.sysadmin) == ("a@example.org", True)
    assert await group_names(rows, "alicia") == ["ops"]
    assert (await people.admit(ALICE)).id == first.id
    assert (await account(rows)).sysadmin is False
    assert await group_names(rows) == ["devs"]


async def test_what_was_open_ends_when_the_directory_makes_an_administrator(accounts: Database, people: People) -> None:
    """By its group of administrators, or by one that has the role here; the sign-in itself goes on."""
    first = await people.admit(ALICE)
    second = await people.admit(replace(ALICE, is_admin=True))
    assert not await Policy(accounts).is_current(first, fresh=True)
    assert await Policy(accounts).is_current(second, fresh=True)
    ops = await accounts.write(lambda tx: groups.add(tx, "ops", provider="ldap", subject=OPS.subject))
    assert ops is not None
    await accounts.write(lambda tx: grants.add(tx, principal_id=ops.id, role_id=100, origin="given"))
    third = await people.admit(replace(ALICE, is_admin=True, groups=(OPS,)))
    assert not await Policy(accounts).is_current(second, fresh=True)
    assert await Policy(accounts).is_current(third, fresh=True)


async def test_an_administrator_by_somebody_else_stays_one(accounts: Database, people: People) -> None:
    """The directory takes back only what it gave."""
    await people.admit(ALICE)
    alice = await account(accounts)
    await accounts.write(lambda tx: grants.add(tx, principal_id=alice.id, role_id=100, origin="member"))
    await people.admit(replace(ALICE, is_admin=True))
    await people.admit(ALICE)
    assert (await account(accounts)).sysadmin is True
    assert [grant.origin for grant in await grants.of_principal(accounts, alice.id)] == ["member"]


async def test_who_may_not_enter_is_closed(accounts: Database, people: People) -> None:
    """A person who is refused loses the account's sign-ins at once, and gets them back when let in again."""
    first = await people.admit(ALICE)
    with pytest.raises(NotAdmitted, match="closed by the directory"):
        await people.admit(replace(ALICE, refused="closed by the directory"))
    assert not await Policy(accounts).is_current(first, fresh=True)
    again = await people.admit(ALICE)
    assert again.epoch > first.epoch
    assert await Policy(accounts).is_current(again, fresh=True)
    with pytest.raises(NotAdmitted):
        await people.admit(replace(ALICE, subject="uid=mallory,dc=example", name="mallory", refused="no"))
    assert await users.find(accounts, "mallory") is None


async def test_a_local_account_is_nobody_elses(accounts: Database, people: People) -> None:
    """Whoever has the name of an account of ours, or of one without any profile, does not get it."""
    await accounts.write(lambda tx: users.add(tx, "alice", secret="hash"))
    await accounts.write(lambda tx: principals.create(tx, principals.USER, "root", secret="hash"))
    for person in (ALICE, replace(ALICE, subject="uid=root,dc=example", name="root")):
        with pytest.raises(NotAdmitted, match="not the directory's"):
            await people.admit(person)
    assert (await account(accounts)).provider == users.LOCAL


async def test_who_was_disabled_here_stays_out(accounts: Database, people: People) -> None:
    """An administrator's word counts more than the directory's."""
    principal = await people.admit(ALICE)
    assert principal.id is not None
    user_id = principal.id
    await accounts.write(lambda tx: principals.set_disabled(tx, user_id, disabled=True))
    with pytest.raises(NotAdmitted, match="disabled here"):
        await people.admit(ALICE)


async def test_a_person_who_moved_keeps_the_account(accounts: Database) -> None:
    """A new DN is the same person when the old one is gone, and somebody else when it is not."""
    directory = ScriptedDirectory(people=[ALICE])
    people = People(accounts, directory)
    first = await people.admit(ALICE)
    moved = replace(ALICE, subject="uid=alice,ou=sales,dc=example")
    with pytest.raises(NotAdmitted, match="is that of uid=alice,dc=example"):
        await people.admit(moved)
    directory.people = [moved]
    assert (await people.admit(moved)).id == first.id
    assert (await account(accounts)).subject == moved.subject


async def test_the_name_of_somebody_who_left_gives_no_rights(accounts: Database, people: People) -> None:
    """A new person of an old name does not inherit the account; the operator is told to remove it."""
    await people.admit(ALICE)
    with pytest.raises(NotAdmitted):
        await people.admit(replace(ALICE, refused="left"))
    with pytest.raises(NotAdmitted, match="remove it"):
        await people.admit(replace(ALICE, subject="uid=alice,ou=trainees,dc=example"))


async def give_a_role(accounts: Database, user_id: int | None) -> None:
    """Make somebody a member of a project, which is nothing that the directory gave."""
    project = await accounts.write(lambda tx: projects.ensure(tx, "secret"))
    await accounts.write(
        lambda tx: grants.add(tx, principal_id=user_id, role_id=DEVELOPER, project_id=project.id, origin="member")
    )


async def let_in(accounts: Database, name: str = "alice") -> None:
    """Open an account as an administrator does."""
    opening = Users(accounts, Authorizer(Policy(accounts)), str)
    await opening.set_disabled((await account(accounts, name)).id, disabled=False, acting=None, by=BY)


async def leave(accounts: Database, principal: Principal) -> None:
    """Close an account as a synchronisation does that misses the person."""
    assert principal.id is not None
    user_id = principal.id
    await accounts.write(lambda tx: close(tx, user_id, principal.name, "left", BY))


@pytest.mark.parametrize("own_id", ["", "entryuuid:2"])
async def test_a_dn_that_is_used_again_brings_no_rights(accounts: Database, people: People, own_id: str) -> None:
    """Who is hired later under the name and DN of who left waits for an administrator's word."""
    first = await people.admit(replace(ALICE, own_id=own_id and "entryuuid:1"))
    await give_a_role(accounts, first.id)
    await leave(accounts, first)
    another = replace(ALICE, own_id=own_id, realname="Alice Other")
    with pytest.raises(NotAdmitted, match="entrepot user enable"):
        await people.admit(another)
    await let_in(accounts)
    assert (await people.admit(another)).id == first.id
    assert (await account(accounts)).subject == (f"id:{own_id}" if own_id else ALICE.subject)


@pytest.mark.parametrize("own_id", ["", "entryuuid:2"])
async def test_an_entry_of_the_same_name_elsewhere_takes_nothing_over(
    accounts: Database, people: People, own_id: str
) -> None:
    """Neither while the account is open and its own entry is gone, nor when it is known by an id."""
    first = await people.admit(replace(ALICE, own_id=own_id and "entryuuid:1"))
    await give_a_role(accounts, first.id)
    with pytest.raises(NotAdmitted, match="is that of"):
        await people.admit(replace(ALICE, own_id=own_id, subject="uid=alice,ou=contractors,dc=example"))
    assert (await account(accounts)).realname == "Alice"


async def test_an_entry_is_the_same_person_wherever_it_goes(accounts: Database, people: People) -> None:
    """Its own id keeps the account, with what was granted here, through renaming, moving, leaving and coming back."""
    known = replace(ALICE, own_id="entryuuid:1")
    first = await people.admit(known)
    await give_a_role(accounts, first.id)
    moved = replace(known, subject="uid=alicia,ou=sales,dc=example", name="alicia")
    assert (await people.admit(moved)).id == first.id
    await leave(accounts, first)
    assert (await people.admit(moved)).id == first.id
    assert (await account(accounts, "alicia")).subject == "id:entryuuid:1"


async def test_an_account_known_by_its_dn_takes_the_id_over(accounts: Database, people: People) -> None:
    """At the first sign-in of the same DN, with all that it has; after that the DN means nothing."""
    first = await people.admit(ALICE)
    await give_a_role(accounts, first.id)
    known = replace(ALICE, own_id="entryuuid:1")
    assert (await people.admit(known)).id == first.id
    assert (await account(accounts)).subject == "id:entryuuid:1"
    with pytest.raises(NotAdmitted, match="is that of id:entryuuid:1"):
        await people.admit(replace(ALICE, own_id="entryuuid:2"))
    with pytest.raises(NotAdmitted, match="does not tell ids any more"):
        await people.admit(ALICE)


async def test_capitals_make_no_second_account(accounts: Database, people: People) -> None:
    """Somebody who is called Admin in the directory is not to be taken for admin here."""
    await accounts.write(lambda tx: users.add(tx, "admin", secret="hash"))
    with pytest.raises(NotAdmitted, match="differs by capitals alone"):
        await people.admit(replace(ALICE, name="Admin"))
    await people.admit(ALICE)
    assert (await people.admit(replace(ALICE, name="ADMIN"))).name == "alice"


async def test_a_name_that_cannot_be_an_account(accounts: Database, people: People) -> None:
    """It is said, and nothing is made."""
    with pytest.raises(NotAdmitted, match="cannot have"):
        await people.admit(replace(ALICE, name="robot$alice"))
    assert await principals.find(accounts, principals.USER, "robot$alice") is None


async def test_groups_of_one_name_are_two(accounts: Database, people: People) -> None:
    """A group of the directory never becomes one of ours, nor another of its own, because of its name."""
    await accounts.write(lambda tx: groups.add(tx, "devs"))
    other = DirectoryGroup(subject="cn=devs,ou=other,dc=example", name="devs")
    odd = DirectoryGroup(subject="cn=odd,dc=example", name=' ,"~; ')
    await people.admit(replace(ALICE, groups=(DEVS, other, odd)))
    assert sorted(await group_names(accounts)) == ["_", "devs@ldap", "devs@ldap-2"]
    ours = await groups.find(accounts, "devs")
    assert ours is not None
    assert ours.provider == groups.LOCAL


async def test_a_role_for_a_group_is_a_role_for_its_people(accounts: Database, people: People) -> None:
    """Group to role: a grant to the group allows, and ends when the directory takes the person out."""
    principal = await people.admit(ALICE)
    [group] = await memberships.groups_of(accounts, (await account(accounts)).id)
    project = await accounts.write(lambda tx: projects.ensure(tx, "demo"))
    await accounts.write(
        lambda tx: grants.add(tx, principal_id=group.id, role_id=DEVELOPER, project_id=project.id, origin="member")
    )

    async def may_push() -> bool:
        rights = await Policy(accounts).rights_of(principal, fresh=True)
        return any(not grant.misses("repository:push", Target("demo"), 0) for grant in rights.all())  # type: ignore[arg-type]

    assert await may_push()
    await people.admit(replace(ALICE, groups=()))
    assert not await may_push()


async def test_many_rows_at_once(rows: Database) -> None:
    """The statements of a synchronisation find what they should and nothing else."""
    people = People(rows, ScriptedDirectory())
    for number in range(5):
        name = f"user{number}"
        await people.admit(
            Person(subject=f"uid={name}", name=name, groups=(DEVS,) if number % 2 else (), is_admin=number == 3)
        )
    await rows.write(lambda tx: users.add(tx, "local", secret="hash"))
    found = await directory_people.by_subjects(rows, "ldap", ["uid=user1", "uid=user3", "uid=absent"])
    assert [known.name for known in found] == ["user1", "user3"]
    named = await directory_people.by_names(rows, ["local", "user0", "absent"])
    assert {(known.name, known.provider) for known in named} == {("local", "local"), ("user0", "ldap")}
    ids = [known.id for known in found]
    assert await directory_people.groups_of(rows, "ldap", [*ids, 999]) == dict.fromkeys(ids, frozenset({DEVS.subject}))
    assert await directory_people.admins(rows, "ldap", ids) == {ids[1]}
    first = await directory_people.after(rows, "ldap", "", limit=3)
    rest = await directory_people.after(rows, "ldap", first[-1].subject or "", limit=3)
    assert [known.name for known in (*first, *rest)] == [f"user{number}" for number in range(5)]


async def test_runs_are_kept_and_the_oldest_forgotten(rows: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of each is written down whole; of very many runs with one directory the oldest go."""
    monkeypatch.setattr(sync_runs, "KEPT", 3)
    for number in range(5):
        run = await rows.write(lambda tx, number=number: sync_runs.start(tx, "ldap", dry_run=number == 4))
        report = {"people": number, "problems": ["Jürgen: nein"]}
        await rows.write(lambda tx, run=run, report=report: sync_runs.finish(tx, run, report))
    await rows.write(lambda tx: sync_runs.start(tx, "other", dry_run=False))
    runs = await runs_of(rows, "ldap")
    assert [(run.report["people"], run.dry_run) for run in runs] == [(4, True), (3, False), (2, False)]
    assert runs[0].report["problems"] == ["Jürgen: nein"]
    assert runs[0].finished_at is not None
