"""People of a real Active Directory (Samba as its domain controller) sign in by every form of their names."""

import re
from collections.abc import Iterator

import pytest

from entrepot.accounts.directory.model import DirectoryUnavailable, Person
from entrepot.accounts.directory.people import NotAdmitted, People
from entrepot.accounts.directory.synchronization import Rules, Synchronisation
from entrepot.metadata.database import Database
from entrepot.metadata.events import Source
from entrepot.metadata.people import users
from tests.contracts.ldap.conftest import Connect
from tests.support.samba import Samba, group_dn, password_of, samba, user_dn

BY = Source(name="test")


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """Run a domain controller; what a test changes, it changes back."""
    with samba(tmp_path_factory.mktemp("ad") / "dc") as server:
        yield server


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.org", "EXAMPLE\\alice", "example\\alice"])
async def test_every_form_of_a_name_is_one_person(domain: Samba, connect: Connect, name: str) -> None:
    """By account name, user principal name, or with the domain before it; groups of groups are followed."""
    alice = await connect(domain.section()).sign_in(name, password_of("alice"))
    assert alice == Person(
        subject=user_dn("alice").lower(),
        name="alice",
        email="alice@example.org",
        realname="Alice of the Domain",
        own_id=alice.own_id if alice else "",
        groups=alice.groups if alice else (),
    )
    assert re.fullmatch(r"objectguid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", alice.own_id)
    assert [group.name for group in alice.groups] == ["company", "devs", "Domain Users"]


@pytest.mark.parametrize("name", ["OTHER\\alice", "\\alice", "alice@other.org", "Alice Example", "DC1$", "krbtgt"])
async def test_other_domains_computers_and_services_are_nobody(domain: Samba, connect: Connect, name: str) -> None:
    """A name of another domain is not taken for one of ours, and machines do not sign in."""
    assert await connect(domain.section()).sign_in(name, password_of("alice")) is None


@pytest.mark.parametrize("lookup", ["memberof", "search"])
async def test_groups_by_search_too(domain: Samba, connect: Connect, lookup: str) -> None:
    """Both ways find the same, and not nested finds only the first level."""
    for nested, expected in ((True, ["company", "devs", "Domain Users"]), (False, ["devs", "Domain Users"])):
        directory = connect(domain.section(groups={"lookup": lookup, "nested": nested}))
        bob = await directory.sign_in("bob", password_of("bob"))
        assert bob is not None
        assert [group.name for group in bob.groups] == expected


async def test_the_primary_group_counts(domain: Samba, connect: Connect) -> None:
    """No `memberOf` names it, and yet it lets in and gives rights, for one person and for all."""
    groups = {"allowed": [group_dn("Domain Users")], "admins": [group_dn("leads")]}
    directory = connect(domain.section(groups=groups))
    bob = await directory.find_person("bob")
    assert bob is not None
    assert bob.refused == ""
    listed = {person.name: person async for page in directory.everybody() for person in page}
    assert (listed["bob"].refused, listed["bob"].groups) == ("", bob.groups)
    domain.make_primary("carol", "leads")
    try:
        carol = await directory.find_person("carol")
        assert carol is not None
        assert carol.is_admin
        everybody = [person async for page in directory.everybody() for person in page]
        assert carol in everybody
    finally:
        domain.make_primary("carol", "Domain Users")


async def test_administrators_and_who_may_enter(domain: Samba, connect: Connect) -> None:
    """By groups, whatever the spelling of their DNs."""
    groups = {"admins": [group_dn("leads").lower()], "allowed": [group_dn("company").upper(), group_dn("leads")]}
    directory = connect(domain.section(groups=groups))
    carol, bob, root = [await directory.find_person(name) for name in ("carol", "bob", "Administrator")]
    assert carol is not None
    assert (carol.is_admin, carol.refused) == (True, "")
    assert bob is not None
    assert (bob.is_admin, bob.refused) == (False, "")
    assert root is not None
    assert "no group that may enter" in root.refused


@pytest.mark.parametrize("template", ["{name}@example.org", "EXAMPLE\\{name}"])
async def test_direct_bind(domain: Samba, connect: Connect, template: str) -> None:
    """Without an account that searches: the person reads its own entry and groups."""
    directory = connect(domain.section(userdn=template, binddn="", bindpassword=""))
    alice = await directory.sign_in("alice", password_of("alice"))
    assert alice is not None
    assert [group.name for group in alice.groups] == ["company", "devs", "Domain Users"]
    assert await directory.sign_in("alice", "wrong") is None
    assert not directory.can_list


async def test_a_domain_wants_encryption(domain: Samba, connect: Connect) -> None:
    """A controller that refuses passwords in the clear is understood as that."""
    section = domain.section(servers=[f"ldap://{domain.address}"], insecure=True)
    with pytest.raises(DirectoryUnavailable, match=r"Strong\(er\) authentication required"):
        await connect(section).sign_in("alice", password_of("alice"))


async def test_starttls(domain: Samba, connect: Connect) -> None:
    """StartTLS on the plain port."""
    section = domain.section(servers=[f"ldap://{domain.address}"], starttls=True)
    assert await connect(section).sign_in("alice", password_of("alice")) is not None


async def test_a_disabled_account_is_closed_at_the_next_run(
    domain: Samba, connect: Connect, accounts: Database
) -> None:
    """Disabled in the domain: no sign-in, closed here by a synchronisation, opened by the next when enabled again."""
    directory = connect(domain.section())
    people = People(accounts, directory)
    bob = await directory.sign_in("bob", password_of("bob"))
    assert bob is not None
    await people.admit(bob)
    domain.disable("bob")
    try:
        assert await directory.sign_in("bob", password_of("bob")) is None
        found = await directory.find_person("bob")
        assert found is not None
        with pytest.raises(NotAdmitted, match="closed the account"):
            await people.admit(found)
        assert (await Synchronisation(accounts, directory, Rules(), BY).run()).counts == {}
    finally:
        domain.disable("bob", disabled=False)
    assert (await Synchronisation(accounts, directory, Rules(), BY).run()).changes == ["bob: opened"]
    domain.replace(user_dn("bob"), "accountExpires", "132223104000000000")  # 2020
    try:
        report = await Synchronisation(accounts, directory, Rules(), BY).run()
        assert report.changes == ["bob: closed: the directory has closed the account"]
    finally:
        domain.replace(user_dn("bob"), "accountExpires", "0")


async def test_a_person_who_leaves_the_domain(domain: Samba, connect: Connect, accounts: Database) -> None:
    """Removed there, closed here, together with all that everybody of the domain became."""
    domain.add_user("erin")
    directory = connect(domain.section())
    report = await Synchronisation(accounts, directory, Rules(create=True), BY).run()
    assert report.error == ""
    assert await users.find(accounts, "erin") is not None
    assert await users.find(accounts, "DC1$") is None
    domain.delete(user_dn("erin"))
    report = await Synchronisation(accounts, directory, Rules(create=True), BY).run()
    assert report.changes == ["erin: closed: no longer among the people of the directory"]
