"""Going through all people of a directory, on a connection of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from entrepot.accounts.directory.model import DirectoryGroup, DirectoryUnavailable, Person
from entrepot.adapters.identity.ldap import filters, membership, people
from entrepot.adapters.identity.ldap.connection import Connection
from entrepot.adapters.identity.ldap.entries import Entry
from entrepot.adapters.identity.ldap.membership import AllGroups
from entrepot.adapters.identity.ldap.settings import LdapSettings

#: Seconds after which a listing is given up: a directory that never comes to an end tells us nothing.
LONGEST = 900.0


def everybody(settings: LdapSettings, connection: Connection) -> Iterator[Sequence[Person]]:
    """Give all people in parts.

    Raises:
        DirectoryUnavailable: The server did not answer to the end.
    """
    end = time.monotonic() + LONGEST
    groups = _all_groups(settings, connection, end)
    admins = _admins(settings, connection, end)
    where, now = settings.users.where, time.time()
    for page in _until(end, connection.pages(where.base, where.scope, where.filter, people.attributes(settings))):
        yield [person for entry in page if (person := _read(settings, entry, groups, admins, now)) is not None]


def _read(
    settings: LdapSettings, entry: Entry, groups: AllGroups | None, admins: frozenset[str], now: float
) -> Person | None:
    name = entry.first(settings.users.names[0])
    found: tuple[DirectoryGroup, ...] = groups.of(entry, name) if groups else ()
    return people.read_person(settings, entry, found, fits_admins=entry.subject in admins, now=now)


def _all_groups(settings: LdapSettings, connection: Connection, end: float) -> AllGroups | None:
    groups = settings.groups
    if groups is None:
        return None
    where = groups.where
    pages = connection.pages(where.base, where.scope, where.filter, membership.attributes(groups))
    return AllGroups((entry for page in _until(end, pages) for entry in page), groups)


def _admins(settings: LdapSettings, connection: Connection, end: float) -> frozenset[str]:
    users = settings.users
    if not users.admin_filter:
        return frozenset()
    text = filters.all_of(users.where.filter, users.admin_filter)
    pages = connection.pages(users.where.base, users.where.scope, text, ["1.1"])
    return frozenset(entry.subject for page in _until(end, pages) for entry in page)


def _until(end: float, pages: Iterator[list[Entry]]) -> Iterator[list[Entry]]:
    for page in pages:
        if time.monotonic() > end:
            raise DirectoryUnavailable(f"listing the directory was given up after {LONGEST:g} s")
        yield page
