"""From a name to the entry of a person, and from an entry to what we know of the person."""

from __future__ import annotations

from collections.abc import Sequence

from entrepot.accounts.directory.model import DirectoryGroup, Person
from entrepot.accounts.directory.names import escape_value
from entrepot.adapters.identity.ldap import filters
from entrepot.adapters.identity.ldap.entries import Entry, is_closed
from entrepot.adapters.identity.ldap.settings import LdapSettings

_LONGEST_NAME = 255


def attributes(settings: LdapSettings) -> list[str]:
    """List what is read of a person."""
    groups = settings.groups
    return [*settings.users.attributes, *([groups.member_of] if groups and groups.by_member_of else [])]


def is_usable(name: str) -> bool:
    """Tell whether somebody of this name could sign in: Basic credentials end a name at a colon."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and ":" not in name and name == name.strip()


def filter_for(settings: LdapSettings, name: str) -> str | None:
    """Return the filter that finds the person who signs in as `name`; None when nobody can be meant."""
    domain, backslash, account = name.rpartition("\\")
    if settings.is_ad and backslash:
        if domain.lower() != settings.domain.lower() or not settings.domain:
            return None
        return filters.all_of(settings.users.where.filter, filters.equals(settings.users.names[0], account))
    wanted = filters.any_of(filters.equals(attribute, name) for attribute in settings.users.names)
    return filters.all_of(settings.users.where.filter, wanted)


def choose(settings: LdapSettings, found: Sequence[Entry], name: str) -> Entry | None:
    """Return the one entry that a name means; None when there is none, or more than one."""
    if len(found) > 1:
        # An alias such as `mail` may be anything that its owner likes; the name itself counts more.
        main = settings.users.names[0]
        found = [entry for entry in found if entry.first(main).lower() == name.lower()]
    return found[0] if len(found) == 1 else None


def direct_name(settings: LdapSettings, name: str) -> str:
    """Return as whom to bind when nobody is searched for first."""
    if "=" in settings.user_dn:
        return settings.user_dn.replace("{name}", escape_value(name))
    return name if "@" in name or "\\" in name else settings.user_dn.replace("{name}", name)


def read_person(
    settings: LdapSettings, entry: Entry, groups: tuple[DirectoryGroup, ...], *, fits_admins: bool, now: float
) -> Person | None:
    """Read a person; None when the entry has no name that anybody could sign in by."""
    users = settings.users
    name = entry.first(users.names[0])
    if not is_usable(name):
        return None
    subjects = {group.subject for group in groups}
    admins = settings.groups.admins if settings.groups else frozenset[str]()
    return Person(
        subject=entry.subject,
        name=name,
        own_id=entry.own_id,
        email=entry.first(users.email),
        realname=entry.first(users.realname),
        refused=_refusal(settings, entry, subjects, now),
        is_admin=fits_admins or bool(subjects & admins),
        groups=groups,
    )


def _refusal(settings: LdapSettings, entry: Entry, groups: set[str], now: float) -> str:
    if is_closed(entry, now):
        return "the directory has closed the account"
    if settings.groups and settings.groups.allowed and not groups & settings.groups.allowed:
        return "in no group that may enter (access.ldap.groups.allowed)"
    return ""
