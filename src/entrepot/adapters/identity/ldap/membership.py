"""Which groups somebody is in, groups within groups included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from entrepot.accounts.directory.model import DirectoryGroup
from entrepot.accounts.directory.names import is_below
from entrepot.adapters.identity.ldap import filters
from entrepot.adapters.identity.ldap.connection import Connection, Deadline
from entrepot.adapters.identity.ldap.entries import Entry, folded
from entrepot.adapters.identity.ldap.settings import SECURITY_ID, GroupSettings

#: Names of groups in one question.
_CHUNK = 50
#: Nobody nests deeper, or is in more groups, on purpose.
_DEEPEST = 20
_MOST = 5_000


def members_are_names(settings: GroupSettings) -> bool:
    """Tell whether groups name their members by name and not by DN (RFC 2307)."""
    return settings.member.lower() == "memberuid"


def attributes(settings: GroupSettings) -> list[str]:
    """List what is read of a group."""
    return [settings.name, settings.member_of if settings.by_member_of else settings.member, SECURITY_ID]


def group_of(entry: Entry, settings: GroupSettings) -> DirectoryGroup:
    """Read a group."""
    return DirectoryGroup(subject=entry.subject, name=entry.first(settings.name) or entry.dn)


class AskedGroups:
    """Asks a server about one person: a question for each level of groups within groups."""

    def __init__(self, connection: Connection, settings: GroupSettings, deadline: Deadline) -> None:
        self._connection = connection
        self._settings = settings
        self._deadline = deadline
        self._base = folded(settings.where.base)

    def of(self, person: Entry, name: str) -> tuple[DirectoryGroup, ...]:
        """Return all groups of a person.

        Raises:
            DirectoryUnavailable: The server did not answer.
        """
        found: dict[str, DirectoryGroup] = {}
        level = self._first_level(person, name)
        for _ in range(_DEEPEST):
            fresh = [entry for entry in level if entry.subject not in found]
            found |= {entry.subject: group_of(entry, self._settings) for entry in fresh}
            if not fresh or not self._settings.nested or len(found) > _MOST:
                break
            level = self._next_level(fresh, found)
        return tuple(sorted(found.values(), key=lambda group: group.subject))

    def _first_level(self, person: Entry, name: str) -> list[Entry]:
        primary = self._of_security_id(person.primary_group) if person.primary_group else []
        if self._settings.by_member_of:
            return [*primary, *self._read(person.all(self._settings.member_of))]
        return [*primary, *self._with_members([name if members_are_names(self._settings) else person.dn])]

    def _next_level(self, groups: Sequence[Entry], known: Iterable[str]) -> list[Entry]:
        if members_are_names(self._settings):
            return []
        if self._settings.by_member_of:
            above = [dn for group in groups for dn in group.all(self._settings.member_of)]
            return self._read([dn for dn in above if folded(dn) not in known])
        return self._with_members([group.dn for group in groups])

    def _read(self, dns: Sequence[str]) -> list[Entry]:
        """Read groups by their DNs, all questions under way at once."""
        where = self._settings.where
        wanted = {folded(dn): dn for dn in dns}
        inside = [dn for subject, dn in wanted.items() if is_below(subject, self._base)][:_MOST]
        found: list[Entry] = []
        for part in _chunks(inside):
            asked = [self._connection.ask(dn, "base", where.filter, attributes(self._settings)) for dn in part]
            for message in asked:
                found += self._connection.found(message, self._deadline)
        return found

    def _of_security_id(self, security_id: str) -> list[Entry]:
        where = self._settings.where
        text = filters.all_of(where.filter, filters.equals(SECURITY_ID, security_id))
        return self._connection.search(where.base, where.scope, text, attributes(self._settings), self._deadline)

    def _with_members(self, members: Sequence[str]) -> list[Entry]:
        """Search groups by their members."""
        where, found = self._settings.where, list[Entry]()
        for part in _chunks(members):
            asked = filters.any_of(filters.equals(self._settings.member, member) for member in part)
            text = filters.all_of(where.filter, asked)
            found += self._connection.search(where.base, where.scope, text, [self._settings.name], self._deadline)
        return found


class AllGroups:
    """All groups of a directory, read once, for asking about many people."""

    def __init__(self, entries: Iterable[Entry], settings: GroupSettings) -> None:
        self._settings = settings
        self._groups: dict[str, DirectoryGroup] = {}
        #: From a member (a folded DN, or a name) to the groups that it is in.
        self._above: dict[str, list[str]] = {}
        self._primary: dict[str, list[str]] = {}  #: by security id
        for entry in entries:
            self._add(entry)

    def of(self, person: Entry, name: str) -> tuple[DirectoryGroup, ...]:
        """Return all groups of a person."""
        if self._settings.by_member_of:
            level = [folded(dn) for dn in person.all(self._settings.member_of)]
        else:
            level = self._above.get(name.lower() if members_are_names(self._settings) else person.subject, [])
        level = [*level, *self._primary.get(person.primary_group, ())]
        found: dict[str, DirectoryGroup] = {}
        while level:
            fresh = [subject for subject in level if subject in self._groups and subject not in found]
            found |= {subject: self._groups[subject] for subject in fresh}
            level = [above for subject in fresh for above in self._above.get(subject, ())]
            if not self._settings.nested:
                break
        return tuple(sorted(found.values(), key=lambda group: group.subject))

    def _add(self, entry: Entry) -> None:
        subject = entry.subject
        self._groups[subject] = group_of(entry, self._settings)
        if entry.security_id:
            self._primary[entry.security_id] = [subject]
        if self._settings.by_member_of:
            self._above[subject] = [folded(dn) for dn in entry.all(self._settings.member_of)]
            return
        names = members_are_names(self._settings)
        for member in entry.all(self._settings.member):
            self._above.setdefault(member.lower() if names else folded(member), []).append(subject)


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
