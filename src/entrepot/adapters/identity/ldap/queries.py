"""What is asked on one connection: who somebody is, whether a password is right, what there is."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from entrepot.accounts.directory.model import DirectoryGroup, Person
from entrepot.accounts.directory.names import DnInvalid, fold_dn, is_below
from entrepot.adapters.identity.ldap import filters, membership, people
from entrepot.adapters.identity.ldap.connection import Connection, Deadline
from entrepot.adapters.identity.ldap.entries import Entry, folded
from entrepot.adapters.identity.ldap.membership import AskedGroups, group_of
from entrepot.adapters.identity.ldap.settings import LdapSettings


@dataclass(frozen=True, slots=True)
class Questions:
    """Asks one server, within a deadline.

    Raises:
        DirectoryUnavailable: From every method, when the server does not answer.
    """

    settings: LdapSettings
    connection: Connection
    deadline: Deadline

    def sign_in(self, name: str, password: str) -> Person | None:
        """Search the person, then try the password; None when they do not match."""
        entry = self._entry(name)
        # Whether the name exists must not show in the time of the answer, so somebody is asked about in any case.
        nobody = f"{self.settings.users.names[0]}={secrets.token_hex(8)},{self.settings.users.where.base}"
        if not self._is_right(nobody if entry is None else entry.dn, password) or entry is None:
            return None
        return self._person(entry)

    def sign_in_directly(self, name: str, password: str) -> Person | None:
        """Try the password under the name that `userdn` makes of it, and read the person with its own rights."""
        who = people.direct_name(self.settings, name)
        if not self.connection.bind(who, password, self.deadline):
            return None
        entry = self._own_entry(who) if "=" in self.settings.user_dn else self._entry(name)
        return None if entry is None else self._person(entry)

    def find_person(self, name: str) -> Person | None:
        """Return the person who signs in as `name`."""
        entry = self._entry(name)
        return None if entry is None else self._person(entry)

    def search_people(self, text: str, limit: int) -> list[Person]:
        """Return people of whom a name begins with a text, without their groups."""
        users = self.settings.users
        attributes = dict.fromkeys([*users.names, users.email, users.realname])
        wanted = filters.any_of(filters.begins(attribute, text) for attribute in attributes)
        found = self._page(users.where.base, users.where.scope, filters.all_of(users.where.filter, wanted), limit)
        now = time.time()
        persons = [people.read_person(self.settings, entry, (), fits_admins=False, now=now) for entry in found]
        return [person for person in persons if person is not None]

    def search_groups(self, text: str, limit: int) -> list[DirectoryGroup]:
        """Return groups whose name begins with a text."""
        groups = self.settings.groups
        if groups is None:
            return []
        wanted = filters.all_of(groups.where.filter, filters.begins(groups.name, text))
        found = self._page(groups.where.base, groups.where.scope, wanted, limit)
        return [group_of(entry, groups) for entry in found]

    def find_group(self, dn: str) -> DirectoryGroup | None:
        """Return the group of a DN, if it is one of those that count."""
        groups = self.settings.groups
        if groups is None or not _is_dn_below(dn, groups.where.base):
            return None
        message = self.connection.ask(dn, "base", groups.where.filter, membership.attributes(groups))
        return next((group_of(entry, groups) for entry in self.connection.found(message, self.deadline)), None)

    def has(self, dn: str) -> bool:
        """Tell whether there is an entry of a DN."""
        message = self.connection.ask(dn, "base", "(objectClass=*)", ["1.1"])
        return bool(self.connection.found(message, self.deadline))

    def count(self, base: str, scope: str, text: str, limit: int) -> int:
        """Count entries, `limit` at most."""
        return len(self._page(base, scope, text, limit))

    def _page(self, base: str, scope: str, text: str, limit: int) -> list[Entry]:
        wanted = list(dict.fromkeys([*people.attributes(self.settings), *self._group_attributes()]))
        pages: Iterator[Sequence[Entry]] = self.connection.pages(base, scope, text, wanted, size=limit)
        return list(next(islice(pages, 1), ()))[:limit]

    def _group_attributes(self) -> list[str]:
        return [self.settings.groups.name] if self.settings.groups else []

    def _entry(self, name: str) -> Entry | None:
        text = people.filter_for(self.settings, name) if people.is_usable(name) else None
        if text is None:
            return None
        where, attributes = self.settings.users.where, people.attributes(self.settings)
        found = self.connection.search(where.base, where.scope, text, attributes, self.deadline)
        return people.choose(self.settings, found, name)

    def _own_entry(self, dn: str) -> Entry | None:
        users = self.settings.users
        message = self.connection.ask(dn, "base", users.where.filter, people.attributes(self.settings))
        return next(iter(self.connection.found(message, self.deadline)), None)

    def _is_right(self, dn: str, password: str) -> bool:
        own = Connection(self.settings, self.connection.server, self.deadline)
        try:
            return own.bind(dn, password, self.deadline)
        finally:
            own.close()

    def _person(self, entry: Entry) -> Person | None:
        settings = self.settings
        name = entry.first(settings.users.names[0])
        groups: tuple[DirectoryGroup, ...] = ()
        if settings.groups:
            groups = AskedGroups(self.connection, settings.groups, self.deadline).of(entry, name)
        return people.read_person(settings, entry, groups, fits_admins=self._fits_admins(entry), now=time.time())

    def _fits_admins(self, entry: Entry) -> bool:
        text = self.settings.users.admin_filter
        if not text:
            return False
        message = self.connection.ask(entry.dn, "base", text, ["1.1"])
        return bool(self.connection.found(message, self.deadline))


def _is_dn_below(dn: str, base: str) -> bool:
    try:
        return is_below(fold_dn(dn), folded(base))
    except DnInvalid:
        return False
