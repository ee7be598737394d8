"""What is asked of a directory, without asking: filters, entries, settings of the file and by Harbor's names."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from entrepot.access.errors import SetupError
from entrepot.accounts.directory.model import DirectoryGroup, NoDirectory
from entrepot.adapters.identity.ldap import filters, people
from entrepot.adapters.identity.ldap.entries import Entry, is_closed
from entrepot.adapters.identity.ldap.harbor import from_harbor
from entrepot.adapters.identity.ldap.membership import AllGroups
from entrepot.adapters.identity.ldap.settings import LdapSettings, from_config
from entrepot.config.schema.ldap import Ldap
from entrepot.system.keys import keys

BASE: dict[str, Any] = {"servers": ["ldaps://ldap.example.org"], "users": {"base": "ou=people,dc=example"}}


def settings(**more: Any) -> LdapSettings:
    """Read a section."""
    return from_config(Ldap.model_validate(BASE | more))


@given(st.text(max_size=40))
def test_a_value_never_ends_a_filter(value: str) -> None:
    """No name has an unescaped sign of a filter, and every name comes back from its escapes."""
    escaped = filters.escape(value)
    assert not set("*()\0") & set(escaped)
    assert re.sub(r"\\([0-9a-f]{2})", lambda pair: chr(int(pair[1], 16)), escaped) == value


def test_filters_are_put_together() -> None:
    """Empty parts say nothing, one part needs no sign."""
    one = filters.equals("uid", "a*")
    assert one == r"(uid=a\2a)"
    assert filters.all_of("", one) == one
    assert filters.any_of([one, filters.begins("mail", "")]) == r"(|(uid=a\2a)(mail=*))"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alice", "(&(p)(|(sAMAccountName=alice)(userPrincipalName=alice)))"),
        ("EXAMPLE\\alice", "(&(p)(sAMAccountName=alice))"),
        ("example\\al*", r"(&(p)(sAMAccountName=al\2a))"),
        ("OTHER\\alice", None),
        ("\\alice", None),
    ],
)
def test_names_of_an_active_directory(name: str, expected: str | None) -> None:
    """With the domain before it, a name is that of the account alone."""
    found = people.filter_for(
        settings(kind="activedirectory", domain="EXAMPLE", users={"base": "dc=a", "filter": "(p)"}), name
    )
    assert found == expected


@pytest.mark.parametrize(
    ("values", "closed"),
    [
        ({}, False),
        ({"userAccountControl": b"512"}, False),
        ({"userAccountControl": b"514"}, True),
        ({"userAccountControl": b"nonsense"}, False),
        ({"accountExpires": b"0"}, False),
        ({"accountExpires": b"9223372036854775807"}, False),
        ({"accountExpires": b"132223104000000000"}, True),
        ({"accountExpires": b"159725088000000000"}, False),
        ({"pwdAccountLockedTime": b"000001010000Z"}, True),
        ({"pwdAccountLockedTime": b"20260101000000Z"}, False),
        ({"nsAccountLock": b"TRUE"}, True),
        ({"loginDisabled": b"true"}, True),
    ],
)
def test_closed_accounts(values: dict[str, bytes], *, closed: bool) -> None:
    """By what Active Directory, OpenLDAP, 389 and eDirectory write; a lock that ends by itself closes nothing."""
    entry = Entry.read("uid=a", {name: [value] for name, value in values.items()})
    assert is_closed(entry, now=1_790_000_000.0) is closed


def test_values_that_are_no_text_are_left_out() -> None:
    """A photograph in the wrong place harms nobody."""
    entry = Entry.read("uid=a", {"CN": [b"\xff\xfe", "Jürgen".encode()]})
    assert entry.all("cn") == ["Jürgen"]
    assert entry.first("mail") == ""


def test_all_groups_follow_members_of_any_spelling() -> None:
    """Groups name people and groups as they like; a group outside what was read is not followed."""
    groups = settings(groups={"base": "ou=groups"}).groups
    assert groups is not None

    def entry(name: str, *members: str) -> Entry:
        return Entry(f"cn={name},ou=groups", {"cn": [name], "member": list(members)})

    read = AllGroups(
        [entry("devs", "UID=Alice, OU=People"), entry("all", "CN=Devs,OU=Groups", "cn=gone,ou=groups")], groups
    )
    alice = Entry("uid=alice,ou=people", {})
    assert [group.name for group in read.of(alice, "alice")] == ["all", "devs"]
    assert read.of(Entry("uid=bob,ou=people", {}), "bob") == ()
    assert read.of(alice, "alice")[1] == DirectoryGroup(subject="cn=devs,ou=groups", name="devs")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"servers": ["http://example.org"]}, "ldap://HOST"),
        ({"servers": ["ldaps://user:secret@example.org"]}, "ldap://HOST"),
        ({"servers": ["ldaps://example.org/dc=a"]}, "users.base"),
        ({"servers": ["ldap://example.org"]}, "in the clear"),
        ({"starttls": True}, "encrypted already"),
        ({"users": {}}, "users.base is required"),
        ({"users": {"base": "dc=a", "filter": "(a=b"}}, "brackets"),
        ({"users": {"base": "dc=a", "name": "uid)(x"}}, "name of an attribute"),
        ({"userdn": "uid=alice"}, "{name}"),
        ({"binddn": "cn=a"}, "would be anonymous"),
        ({"binddn": "cn=a", "bindpassword": "p", "bindpasswordfile": "/f"}, "keep one"),
        ({"groups": {"allowed": ["cn=a"]}}, "need groups.base"),
        ({"remember": 301.0}, "300"),
        ({"offline": 100_000.0}, "86400"),
    ],
)
def test_settings_that_cannot_be(section: dict[str, Any], said: str) -> None:
    """Each says what is wrong, and none repeats a secret."""
    with pytest.raises(ValidationError) as refusal:
        Ldap.model_validate(BASE | section)
    assert said in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_group_that_is_no_dn() -> None:
    """The key is named."""
    with pytest.raises(SetupError, match=r"access\.ldap\.groups\.admins"):
        settings(groups={"base": "dc=a", "admins": ["Domain Admins"]})


def test_defaults_of_each_kind() -> None:
    """What an Active Directory calls things, and what others do."""
    generic, ad = settings(groups={"base": "dc=a"}), settings(kind="activedirectory", groups={"base": "dc=a"})
    assert generic.users.names == ("uid",)
    assert ad.users.names == ("sAMAccountName", "userPrincipalName")
    assert generic.groups is not None
    assert ad.groups is not None
    assert (generic.groups.by_member_of, ad.groups.by_member_of) == (False, True)
    assert "bindpassword" not in repr(settings(binddn="cn=a", bindpassword="hidden")).replace("bind_password_file", "")
    assert "hidden" not in repr(settings(binddn="cn=a", bindpassword="hidden"))


def harbor(**given: Any) -> LdapSettings:
    """Read settings by Harbor's names, the others as they are at first."""
    values = {name: key.default for name, key in keys().items()}
    return from_harbor(values | {"ldap_url": "ldap://a.example", "ldap_base_dn": "dc=a"} | given, "secret")


def test_settings_by_harbors_names() -> None:
    """As in Harbor: a server without a scheme, a filter without brackets, scopes by number."""
    read = harbor(
        ldap_url="a.example:10389/",
        ldap_filter="objectClass=person",
        ldap_scope=1,
        ldap_uid="mail",
        ldap_search_dn="cn=reader",
        ldap_group_base_dn="ou=groups",
        ldap_group_admin_dn="CN=Ops,OU=Groups",
        ldap_timeout=7,
    )
    assert read.servers == ("ldap://a.example:10389",)
    assert (read.users.where.filter, read.users.where.scope, read.users.names) == (
        "(objectClass=person)",
        "onelevel",
        ("mail",),
    )
    assert read.timeout == 7.0
    assert read.groups is not None
    assert read.groups.admins == {"cn=ops,ou=groups"}
    assert read.groups.by_member_of


def test_certificates_are_looked_at_unless_somebody_says_no() -> None:
    """Over LDAPS only `ldap_verify_cert: false` takes any certificate."""
    assert harbor(ldap_url="ldaps://a.example").insecure is False
    assert harbor(ldap_url="ldaps://a.example", ldap_verify_cert=False).insecure is True


@pytest.mark.parametrize(
    "given",
    [{"ldap_url": "gopher://a"}, {"ldap_filter": "((("}, {"ldap_group_base_dn": "dc=a", "ldap_group_admin_dn": "Ops"}],
)
def test_settings_by_harbors_names_that_cannot_be(given: dict[str, Any]) -> None:
    """They are a fault that says what is wrong, not a crash."""
    with pytest.raises(NoDirectory, match=r"must|looks like"):
        harbor(**given)
