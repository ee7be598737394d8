"""What to ask of which servers: the configuration with everything spelt out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from entrepot.access.errors import SetupError
from entrepot.accounts.directory.names import DnInvalid, fold_dn
from entrepot.config.schema.ldap import Ldap, LdapGroups, LdapUsers

ACTIVE_DIRECTORY = "activedirectory"
MEMBER_OF = "memberof"
#: Users that are no computers and no contacts.
_AD_PEOPLE = "(&(objectCategory=person)(objectClass=user))"
_AD_GROUPS = "(objectCategory=group)"
_PEOPLE = "(objectClass=inetOrgPerson)"
_GROUPS = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)(objectClass=group))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A part of the tree, and which entries of it are meant."""

    base: str
    scope: str
    filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """Where people are."""

    where: Where
    names: tuple[str, ...]  #: attributes to sign in by, the one that names the account first
    email: str
    realname: str
    admin_filter: str

    @property
    def attributes(self) -> list[str]:
        """Everything to be read of a person, but for groups."""
        return [*self.names, self.email, self.realname, *ID_ATTRIBUTES, *STATE_ATTRIBUTES, SECURITY_ID, PRIMARY_GROUP]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """Which groups count."""

    where: Where
    name: str
    member: str
    member_of: str
    by_member_of: bool
    nested: bool
    allowed: frozenset[str]  #: folded DNs
    admins: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapSettings:
    """Everything about one directory."""

    servers: tuple[str, ...]
    is_ad: bool
    start_tls: bool
    ca: str
    insecure: bool
    bind_dn: str
    bind_password: str = field(repr=False)
    bind_password_file: str
    user_dn: str
    domain: str
    timeout: float
    users: UserSettings
    groups: GroupSettings | None

    @property
    def password(self) -> str:
        """The password of the account that searches, as it is now.

        Raises:
            OSError: The file cannot be read.
        """
        if not self.bind_password_file:
            return self.bind_password
        return Path(self.bind_password_file).read_text(encoding="utf-8").rstrip("\r\n")


#: Where an Active Directory says who an entry is, and what a person's primary group is.
SECURITY_ID = "objectSid"
PRIMARY_GROUP = "primaryGroupID"
#: What servers call the id that an entry keeps when it is renamed or moved: Active Directory, 389, and all others. Of
#: two the first is the older one.
ID_ATTRIBUTES = ("objectGUID", "nsUniqueId", "entryUUID")
#: Where servers say that an account is closed (see `entries.is_closed`).
STATE_ATTRIBUTES = ("userAccountControl", "accountExpires", "pwdAccountLockedTime", "nsAccountLock", "loginDisabled")


def from_config(section: Ldap) -> LdapSettings:
    """Spell out the section of the configuration.

    Raises:
        SetupError: A DN is none.
    """
    is_ad = section.kind == ACTIVE_DIRECTORY
    return LdapSettings(
        servers=section.servers,
        is_ad=is_ad,
        start_tls=section.starttls,
        ca=section.ca,
        insecure=section.insecure,
        bind_dn=section.binddn,
        bind_password=section.bindpassword.get_secret_value(),
        bind_password_file=section.bindpasswordfile,
        user_dn=section.userdn,
        domain=section.domain,
        timeout=section.timeout,
        users=_users(section.users, is_ad=is_ad),
        groups=_groups(section.groups, is_ad=is_ad) if section.groups.base else None,
    )


def _users(section: LdapUsers, *, is_ad: bool) -> UserSettings:
    name = section.name or ("sAMAccountName" if is_ad else "uid")
    aliases = [*section.aliases, "userPrincipalName"] if is_ad else section.aliases
    wanted = section.filter or (_AD_PEOPLE if is_ad else _PEOPLE)
    return UserSettings(
        where=Where(base=section.base, scope=section.scope, filter=wanted),
        names=tuple(dict.fromkeys([name, *aliases])),
        email=section.email,
        realname=section.realname or ("displayName" if is_ad else "cn"),
        admin_filter=section.adminfilter,
    )


def _groups(section: LdapGroups, *, is_ad: bool) -> GroupSettings:
    lookup = section.lookup or (MEMBER_OF if is_ad else "search")
    wanted = section.filter or (_AD_GROUPS if is_ad else _GROUPS)
    return GroupSettings(
        where=Where(base=section.base, scope=section.scope, filter=wanted),
        name=section.name,
        member=section.member,
        member_of=section.memberof,
        by_member_of=lookup == MEMBER_OF,
        nested=section.nested,
        allowed=_folded("allowed", section.allowed),
        admins=_folded("admins", section.admins),
    )


def _folded(key: str, dns: tuple[str, ...]) -> frozenset[str]:
    try:
        return frozenset(fold_dn(dn) for dn in dns)
    except DnInvalid as error:
        raise SetupError(f"access.ldap.groups.{key}: {error}") from None
