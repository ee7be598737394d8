"""Entries as servers send them, read with care: what cannot be read is as if it were not there."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from entrepot.accounts.directory.names import DnInvalid, fold_dn
from entrepot.adapters.identity.ldap.settings import ID_ATTRIBUTES

#: Bits of Active Directory's userAccountControl.
_ACCOUNT_DISABLED = 0x2
#: What OpenLDAP's password policy writes when somebody is locked out until an administrator says otherwise.
_LOCKED_FOR_GOOD = "000001010000Z"
#: Active Directory counts in tenths of microseconds since 1601; 0 and this mean never.
_NEVER = 0x7FFFFFFFFFFFFFFF
_EPOCH_1601 = 11_644_473_600
_TICKS = 10_000_000
_GUID_OCTETS = 16
#: Revision, number of parts, and six octets of who gave it out.
_SID_HEAD = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its DN as the server spells it, values by lower-case attribute, and its own id, or the empty text.

    In an Active Directory it has a security id (MS-DTYP, section 2.4.2), and a person's that of the primary group.
    """

    dn: str
    values: Mapping[str, Sequence[str]]
    own_id: str = ""
    security_id: str = ""

    @classmethod
    def read(cls, dn: str, attributes: Mapping[str, Sequence[bytes]]) -> Entry:
        """Take an answer apart. Values that are no text are left out."""
        octets = {name.lower(): values for name, values in attributes.items()}
        texts = {name: _texts(values) for name, values in octets.items()}
        return cls(dn, texts, _own_id(octets), _security_id(octets.get("objectsid", ())))

    def all(self, attribute: str) -> Sequence[str]:
        """Return every value of an attribute."""
        return self.values.get(attribute.lower(), ())

    def first(self, attribute: str) -> str:
        """Return the first value of an attribute, or the empty text."""
        return next(iter(self.all(attribute)), "")

    @property
    def primary_group(self) -> str:
        """The security id of a person's primary group, which no `memberOf` names; empty where there is none."""
        number, domain = self.first("primaryGroupID"), self.security_id.rpartition("-")[0]
        return f"{domain}-{number}" if domain and number.isdecimal() else ""

    @property
    def subject(self) -> str:
        """The DN as it is kept."""
        return folded(self.dn)


def folded(dn: str) -> str:
    """Fold a DN that a server sent; what is none is taken as it is."""
    try:
        return fold_dn(dn)
    except DnInvalid:
        return dn.lower()


def is_closed(entry: Entry, now: float) -> bool:
    """Tell whether the directory says that an account is disabled, expired or locked for good.

    Args:
        entry: With the attributes `settings.STATE_ATTRIBUTES`, as far as the server has them.
        now: Seconds since the epoch.
    """
    flags = (
        _number(entry.first("userAccountControl")) & _ACCOUNT_DISABLED,
        entry.first("pwdAccountLockedTime") == _LOCKED_FOR_GOOD,
        entry.first("nsAccountLock").lower() == "true",
        entry.first("loginDisabled").lower() == "true",
    )
    return any(flags) or _has_expired(_number(entry.first("accountExpires")), now)


def _own_id(octets: Mapping[str, Sequence[bytes]]) -> str:
    for name in map(str.lower, ID_ATTRIBUTES):
        for value in octets.get(name, ())[:1]:
            return f"{name}:{_spelled(value)}"
    return ""


def _security_id(values: Sequence[bytes]) -> str:
    """Write a security id as text: S-1-5-21-... The parts after the first are little-endian numbers of 32 bits."""
    octets = next(iter(values), b"")
    count = octets[1] if len(octets) >= _SID_HEAD else 0
    if not count or len(octets) != _SID_HEAD + 4 * count:
        return ""
    parts = struct.unpack(f"<{count}I", octets[_SID_HEAD:])
    return "-".join(map(str, ("S", octets[0], int.from_bytes(octets[2:_SID_HEAD], "big"), *parts)))


def _spelled(value: bytes) -> str:
    """Spell an id: Active Directory sends 16 octets, the first three numbers of which are little-endian."""
    if len(value) == _GUID_OCTETS:
        return str(uuid.UUID(bytes_le=value))
    return value.decode(errors="backslashreplace").lower()


def _has_expired(ticks: int, now: float) -> bool:
    return 0 < ticks < _NEVER and ticks / _TICKS - _EPOCH_1601 <= now


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def _texts(values: Sequence[bytes]) -> list[str]:
    found = []
    for value in values:
        try:
            found.append(value.decode())
        except UnicodeDecodeError:
            continue
    return found
