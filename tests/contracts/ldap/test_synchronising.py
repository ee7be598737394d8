"""A synchronisation brings accounts in line with the directory, tells what it did, and never acts on half an answer."""

from dataclasses import replace

import pytest

from entrepot.access.authorizer import Authorizer
from entrepot.access.policy import Policy
from entrepot.accounts.directory.model import DirectoryGroup, Person
from entrepot.accounts.directory.people import People
from entrepot.accounts.directory.synchronization import FEW, Report, Rules, Synchronisation
from entrepot.accounts.users import Users
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import directory_people, memberships, principals, users
from tests.contracts.ldap.conftest import Connect
from tests.support.directory import ScriptedDirectory
from tests.support.rows import runs_of
from tests.support.slapd import Slapd, group_dn, password_of, person, slapd, user_dn

BY = Source(name="test")
DEVS = DirectoryGroup(subject="cn=devs", name="devs")


def people(count: int) -> list[Person]:
    """Make up people."""
    return [Person(subject=f"uid=user{n:02}", name=f"user{n:02}", groups=(DEVS,)) for n in range(count)]


async def sync(accounts: Database, directory: ScriptedDirectory, **rules: object) -> Report:
    """Run once."""
    return await Synchronisation(accounts, directory, Rules(**rules), BY).run()  # type: ignore[arg-type]


async def let_in(accounts: Database, name: str) -> None:
    """Open an account as an administrator does."""
    known = await users.find(accounts, name)
    assert known is not None
    opening = Users(accounts, Authorizer(Policy(accounts)), str)
    await opening.set_disabled(known.id, disabled=False, acting=None, by=BY)


async def open_names(accounts: Database) -> list[str]:
    """List the accounts of the directory's people that are open."""
    found = await directory_people.after(accounts, "ldap", "", limit=1000)
    return [known.name for known in found if known.expires_at is None]


async def test_a_thousand_people_of_a_real_directory(shared_slapd: Slapd, connect: Connect, accounts: Database) -> None:
    """All are taken in, with their groups; a second run finds nothing to do, and both are on record."""
    directory = connect(shared_slapd.section(groups={"admins": [group_dn("leads")]}))
    report = await Synchronisation(accounts, directory, Rules(create=True), BY).run()
    assert (report.people, report.error, report.problems) == (1004, "", [])
    assert report.counts == {"account made": 1004, "made an administrator": 1}
    assert len(await open_names(accounts)) == 1000
    again = await Synchronisation(accounts, directory, Rules(create=True), BY).run()
    assert (again.people, again.counts) == (1004, {})
    runs = await runs_of(accounts, "ldap")
    assert [(run.report["people"], run.report["counts"]) for run in runs] == [(1004, {}), (1004, report.counts)]
    tenth = await users.find(accounts, "user0010")
    assert tenth is not None
    assert [group.name for group in await memberships.groups_of(accounts, tenth.id)] == ["company"]


@pytest.mark.parametrize("lookup", ["search", "memberof"])
async def test_what_changes_in_a_real_directory(
    own_slapd: Slapd, connect: Connect, accounts: Database, lookup: str
) -> None:
    """Left, changed, regrouped, moved and replaced: each has its line, and a dry run says the same before."""
    directory = connect(own_slapd.section(groups={"lookup": lookup}))
    assert (await Synchronisation(accounts, directory, Rules(create=True), BY).run()).people == 4
    own_slapd.delete(user_dn("dave"))
    own_slapd.modify(
        f"dn: {user_dn('bob')}\nchangetype: modify\nreplace: mail\nmail: builder@example.org\n\n"
        f"dn: {user_dn('carol')}\nchangetype: moddn\nnewrdn: uid=carol\ndeleteoldrdn: 1\n"
        "newsuperior: ou=groups,dc=example,dc=org\n\n"
        f"dn: {group_dn('devs')}\nchangetype: modify\ndelete: member\nmember: {user_dn('alice')}\n"
    )
    # carol left the part of the tree that is searched; alice is no developer any more
    dry = await Synchronisation(accounts, directory, Rules(dry_run=True), BY).run()
    assert await open_names(accounts) == ["alice", "bob", "carol", "dave"]
    report = await Synchronisation(accounts, directory, Rules(), BY).run()
    left = "closed: no longer among the people of the directory"
    assert sorted(report.changes) == ["alice: groups", "bob: profile", f"carol: {left}", f"dave: {left}"]
    assert sorted(dry.changes) == sorted(report.changes)
    assert await open_names(accounts) == ["alice", "bob"]
    own_slapd.add(person("dave", "Däve Ümlaut"))
    another = await Synchronisation(accounts, directory, Rules(), BY).run()
    assert (another.changes, len(another.problems)) == ([], 1)
    assert "dave: the account of this name is that of id:entryuuid:" in another.problems[0]
    await let_in(accounts, "dave")
    assert (await Synchronisation(accounts, directory, Rules(), BY).run()).changes == [
        "dave: known by the entry's own id"
    ]
    assert await directory.sign_in("dave", password_of("dave")) is not None


async def test_people_without_an_account_get_none_unless_asked(accounts: Database) -> None:
    """Those who never signed in are left alone; the others are kept up to date."""
    directory = ScriptedDirectory(people=people(3))
    await People(accounts, directory).admit(directory.people[0])
    directory.people[0] = replace(directory.people[0], email="new@example.org")
    assert (await sync(accounts, directory)).changes == ["user00: profile"]
    assert await open_names(accounts) == ["user00"]


async def test_somebody_who_moved_is_not_closed(accounts: Database) -> None:
    """A new DN under the old name is followed in the run that misses the old one."""
    directory = ScriptedDirectory(people=people(3))
    await sync(accounts, directory, create=True)
    directory.people[1] = replace(directory.people[1], subject="uid=user01,ou=sales")
    report = await sync(accounts, directory)
    assert report.changes == ["user01: moved to uid=user01,ou=sales"]
    assert len(await open_names(accounts)) == 3


@pytest.mark.parametrize("fault", ["down", "breaks off", "cannot list"])
async def test_half_an_answer_closes_nobody(accounts: Database, fault: str) -> None:
    """A directory that fails, at once or in the middle, has said nothing about those it did not name."""
    directory = ScriptedDirectory(people=people(6))
    await sync(accounts, directory, create=True)
    directory.people = directory.people[:4]
    directory.down = fault == "down"
    directory.breaks_after = 1 if fault == "breaks off" else None
    directory.can_list = fault != "cannot list"
    report = await sync(accounts, directory)
    assert report.error
    assert len(await open_names(accounts)) == 6
    assert (await runs_of(accounts, "ldap"))[0].report["error"] == report.error


async def test_a_directory_that_suddenly_knows_nobody_is_not_believed(accounts: Database) -> None:
    """More than a few and more than half at once need an operator's word; a few may leave together."""
    directory = ScriptedDirectory(people=people(FEW + 10))
    await sync(accounts, directory, create=True)
    everybody, directory.people = directory.people, []
    report = await sync(accounts, directory)
    assert "20 of 20 accounts would be closed" in report.error
    assert len(await open_names(accounts)) == 20
    assert (await sync(accounts, directory, dry_run=True)).error == report.error
    directory.people = everybody[FEW:]
    assert (await sync(accounts, directory)).counts == {"closed": FEW}
    directory.people = []
    assert (await sync(accounts, directory, force=True)).error == ""
    assert await open_names(accounts) == []


async def test_a_real_server_that_gives_only_a_part(
    connect: Connect, accounts: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """OpenLDAP's limit on all pages together is a fault that is explained, not an empty directory."""
    with slapd(tmp_path_factory.mktemp("limited") / "slapd", people=300, total="150") as server:
        report = await Synchronisation(accounts, connect(server.section()), Rules(create=True), BY).run()
    assert "only a part of the entries; raise its limit" in report.error


async def test_an_administrator_closes_for_good(accounts: Database) -> None:
    """Who was disabled here is not opened by a run that still sees the person."""
    directory = ScriptedDirectory(people=people(1))
    await sync(accounts, directory, create=True)
    known = await users.find(accounts, "user00")
    assert known is not None
    await accounts.write(lambda tx: principals.set_disabled(tx, known.id, disabled=True))
    assert (await sync(accounts, directory)).counts == {}
    now = await users.find(accounts, "user00")
    assert now is not None
    assert now.disabled


async def test_clashes_are_reported(accounts: Database) -> None:
    """A name that is taken, or that no account can have, is a problem of one person and stops nobody else."""
    await accounts.write(lambda tx: users.add(tx, "user00", secret="hash"))
    directory = ScriptedDirectory(people=[*people(2), Person(subject="uid=bad", name="a|b")])
    report = await sync(accounts, directory, create=True)
    assert await open_names(accounts) == ["user01"]
    assert [problem.partition(":")[0] for problem in report.problems] == ["a|b", "user00"] or [
        problem.partition(":")[0] for problem in report.problems
    ] == ["user00", "a|b"]


async def test_accounts_known_by_a_dn_become_known_by_the_ids(accounts: Database) -> None:
    """The first run after the directory tells ids keeps every open account, which then goes with its entry."""
    directory = ScriptedDirectory(people=people(3))
    await sync(accounts, directory, create=True)
    directory.people = [replace(person, own_id=f"entryuuid:{person.name}") for person in directory.people]
    report = await sync(accounts, directory)
    assert report.counts == {"known by the entry's own id": 3}
    directory.people[1] = replace(directory.people[1], subject="uid=user01,ou=sales")
    assert ((await sync(accounts, directory)).changes, len(await open_names(accounts))) == ([], 3)


async def test_a_directory_that_hides_the_ids_closes_nobody(accounts: Database) -> None:
    """Whether they are still the same people cannot be said then, so nothing is done, and it is told."""
    directory = ScriptedDirectory(people=[replace(person, own_id=person.name) for person in people(3)])
    await sync(accounts, directory, create=True)
    directory.people = people(3)
    report = await sync(accounts, directory)
    assert (report.changes, len(report.problems), len(await open_names(accounts))) == ([], 3, 3)
    assert "does not tell ids any more" in report.problems[0]
