"""People of a real OpenLDAP server sign in with their passwords, and nothing else does."""

import pytest

from entrepot.accounts.directory.model import DirectoryUnavailable, Person
from tests.contracts.ldap.conftest import Connect
from tests.support.certificates import authority
from tests.support.slapd import BASE, BUILDER, GROUPS, PEOPLE, Slapd, group_dn, password_of, person, user_dn

DEVS, LEADS, COMPANY = (group_dn(name) for name in ("devs", "leads", "company"))


def groups_of(person: Person | None) -> list[str]:
    """List the groups of somebody who must be there."""
    assert person is not None
    return sorted(group.name for group in person.groups)


async def test_a_person_signs_in_over_starttls_with_a_private_authority(shared_slapd: Slapd, connect: Connect) -> None:
    """Search and bind give the person with attributes and groups, those of groups within groups included."""
    alice = await connect(shared_slapd.section()).sign_in("alice", password_of("alice"))
    assert alice is not None
    assert (alice.subject, alice.name, alice.email) == (user_dn("alice"), "alice", "alice@example.org")
    assert (alice.realname, alice.refused, alice.is_admin) == ("Alice A", "", False)
    assert groups_of(alice) == ["company", "devs"]


@pytest.mark.parametrize("name", ["alice", "dave", "user0001", "user1000"])
async def test_wrong_and_empty_passwords(shared_slapd: Slapd, connect: Connect, name: str) -> None:
    """A wrong password is none, and the empty one is not sent: servers would answer it with success (RFC 4513)."""
    directory = connect(shared_slapd.section())
    assert await directory.sign_in(name, "wrong") is None
    assert await directory.sign_in(name, "") is None
    assert await directory.sign_in(name, password_of(name)) is not None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "a*",
        "nobody",
        "alice)(uid=*",
        "*)(|(uid=*",
        "alice\\",
        "ali\\63e",
        "alice,dc=example",
        " alice",
        "al:ice",
    ],
)
async def test_a_name_is_never_a_filter(shared_slapd: Slapd, connect: Connect, name: str) -> None:
    """Names that mean something to a filter or a DN are looked up as they are, and nobody has them."""
    directory = connect(shared_slapd.section())
    assert await directory.sign_in(name, password_of("alice")) is None


async def test_a_name_with_every_sign_of_a_filter(shared_slapd: Slapd, connect: Connect) -> None:
    """`Bob (the) *Builder` signs in by his common name."""
    section = shared_slapd.section(users={"name": "cn"})
    bob = await connect(section).sign_in(BUILDER, password_of("bob"))
    assert bob is not None
    assert bob.name == BUILDER
    assert await connect(section).sign_in("Bob*", password_of("bob")) is None


async def test_names_are_found_in_any_case_and_kept_as_the_directory_has_them(
    shared_slapd: Slapd, connect: Connect
) -> None:
    """Whoever types ALICE is alice."""
    alice = await connect(shared_slapd.section()).sign_in("ALICE", password_of("alice"))
    assert alice is not None
    assert alice.name == "alice"


async def test_an_alias_signs_in_and_never_hides_a_name(own_slapd: Slapd, connect: Connect) -> None:
    """An e-mail address will do; one that is somebody else's name does not lock that person out, nor let anybody in."""
    own_slapd.modify(f"dn: {user_dn('dave')}\nchangetype: modify\nreplace: mail\nmail: alice\n")
    directory = connect(own_slapd.section(users={"aliases": ["mail"]}))
    carol = await directory.sign_in("carol@example.org", password_of("carol"))
    assert carol is not None
    assert carol.name == "carol"
    alice = await directory.sign_in("alice", password_of("alice"))
    assert alice is not None
    assert alice.name == "alice"
    assert await directory.sign_in("alice", password_of("dave")) is None


async def test_two_people_of_one_name_are_nobody(own_slapd: Slapd, connect: Connect) -> None:
    """Of two entries with one name neither is chosen; a second name of somebody does not take the first of another."""
    own_slapd.modify(f"dn: {user_dn('dave')}\nchangetype: modify\nadd: uid\nuid: alice\n")
    directory = connect(own_slapd.section())
    alice = await directory.sign_in("alice", password_of("alice"))
    assert alice is not None
    assert alice.subject == user_dn("alice")
    assert await directory.sign_in("alice", password_of("dave")) is None
    elsewhere = person("alice").replace(PEOPLE, f"ou=more,{PEOPLE}")
    own_slapd.add(f"dn: ou=more,{PEOPLE}\nobjectClass: organizationalUnit\nou: more\n\n{elsewhere}")
    assert await directory.sign_in("alice", password_of("alice")) is None


@pytest.mark.parametrize("lookup", ["search", "memberof"])
@pytest.mark.parametrize(("nested", "expected"), [(True, ["company", "devs"]), (False, ["devs"])])
async def test_groups_either_way(
    shared_slapd: Slapd, connect: Connect, lookup: str, *, nested: bool, expected: list[str]
) -> None:
    """The groups of a person are the same by `memberOf` and by search, nested or not."""
    section = shared_slapd.section(groups={"lookup": lookup, "nested": nested})
    bob = await connect(section).sign_in("bob", password_of("bob"))
    assert groups_of(bob) == expected


@pytest.mark.parametrize("lookup", ["search", "memberof"])
async def test_a_circle_of_groups_ends(own_slapd: Slapd, connect: Connect, lookup: str) -> None:
    """Groups that are in each other give each once."""
    own_slapd.modify(f"dn: {DEVS}\nchangetype: modify\nadd: member\nmember: {COMPANY}\n")
    bob = await connect(own_slapd.section(groups={"lookup": lookup})).sign_in("bob", password_of("bob"))
    assert groups_of(bob) == ["company", "devs"]


async def test_groups_that_name_their_members(own_slapd: Slapd, connect: Connect) -> None:
    """`posixGroup` with `memberUid` (RFC 2307) works."""
    own_slapd.add(f"dn: cn=unix,{GROUPS}\nobjectClass: posixGroup\ncn: unix\ngidNumber: 5000\nmemberUid: bob\n")
    section = own_slapd.section(groups={"member": "memberUid", "filter": "objectClass=posixGroup"})
    assert groups_of(await connect(section).sign_in("bob", password_of("bob"))) == ["unix"]
    assert groups_of(await connect(section).sign_in("alice", password_of("alice"))) == []


async def test_who_may_enter(shared_slapd: Slapd, connect: Connect) -> None:
    """A filter leaves others unknown; groups that may enter refuse others with the reason, nested ones included."""
    filtered = connect(shared_slapd.section(users={"filter": "(&(objectClass=person)(!(uid=bob)))"}))
    assert await filtered.sign_in("bob", password_of("bob")) is None
    grouped = connect(shared_slapd.section(groups={"allowed": [COMPANY.upper()]}))
    bob = await grouped.sign_in("bob", password_of("bob"))
    assert bob is not None
    assert bob.refused == ""
    dave = await grouped.sign_in("dave", password_of("dave"))
    assert dave is not None
    assert "no group that may enter" in dave.refused


async def test_who_is_admin(shared_slapd: Slapd, connect: Connect) -> None:
    """By a group, also through another group, or by a filter."""
    by_group = connect(shared_slapd.section(groups={"admins": [LEADS]}))
    by_filter = connect(shared_slapd.section(users={"adminfilter": "(mail=dave@*)"}))
    for directory, expected in ((by_group, {"carol"}), (by_filter, {"dave"})):
        people = [await directory.find_person(name) for name in ("alice", "carol", "dave")]
        assert {person.name for person in people if person is not None and person.is_admin} == expected


async def test_direct_bind(shared_slapd: Slapd, connect: Connect) -> None:
    """Without an account that searches, people are bound by the DN that their name makes."""
    section = shared_slapd.section(userdn=f"uid={{name}},{PEOPLE}", binddn="", bindpassword="", groups={"base": ""})
    directory = connect(section)
    assert not directory.can_list
    alice = await directory.sign_in("alice", password_of("alice"))
    assert alice is not None
    assert alice.email == "alice@example.org"
    assert await directory.sign_in("alice", password_of("bob")) is None
    assert await directory.sign_in(f"alice,{PEOPLE}", password_of("alice")) is None


async def test_ldaps(shared_slapd: Slapd, connect: Connect) -> None:
    """Encrypted from the start, too."""
    section = shared_slapd.section(servers=[shared_slapd.tls_url], starttls=False)
    assert await connect(section).sign_in("alice", password_of("alice")) is not None


@pytest.mark.parametrize("tls", [True, False])
async def test_a_certificate_of_somebody_else_is_not_believed(
    shared_slapd: Slapd, connect: Connect, tmp_path_factory: pytest.TempPathFactory, *, tls: bool
) -> None:
    """A server that cannot show a certificate of our authority is not given the password."""
    folder = tmp_path_factory.mktemp("other")
    authority("somebody else").write(folder / "ca.pem", folder / "key.pem")
    other = {"ca": str(folder / "ca.pem"), "starttls": not tls}
    directory = connect(shared_slapd.section(servers=[shared_slapd.tls_url if tls else shared_slapd.url], **other))
    with pytest.raises(DirectoryUnavailable, match=r"certificate verify failed|Connect error|contact"):
        await directory.sign_in("alice", password_of("alice"))


async def test_a_wrong_account_that_searches_lets_nobody_in(shared_slapd: Slapd, connect: Connect) -> None:
    """The operator is told; the person's password counts for nothing."""
    directory = connect(shared_slapd.section(bindpassword="wrong"))
    with pytest.raises(DirectoryUnavailable, match="refuses the account that searches"):
        await directory.sign_in("alice", password_of("alice"))


async def test_a_missing_base_is_said(shared_slapd: Slapd, connect: Connect) -> None:
    """A base that is not there is a fault of the settings, not of the person."""
    directory = connect(shared_slapd.section(users={"base": f"ou=nowhere,{BASE}"}))
    with pytest.raises(DirectoryUnavailable, match="No such object"):
        await directory.sign_in("alice", password_of("alice"))


async def test_the_password_of_the_account_that_searches_is_read_again(own_slapd: Slapd, connect: Connect) -> None:
    """A new password in the file counts for the next connection."""
    file = own_slapd.folder / "reader"
    file.write_text("old password\n", encoding="utf-8")
    directory = connect(own_slapd.section(bindpassword="", bindpasswordfile=str(file)))
    with pytest.raises(DirectoryUnavailable):
        await directory.find_person("alice")
    file.write_text("password-of-the-reader\n", encoding="utf-8")
    directory._servers._failed.clear()
    assert await directory.find_person("alice") is not None
