"""What the registry is set to while it runs, by Harbor's names.

A setting comes from the configuration file where that says something about it (then it is fixed), else from the
database, else it is what it is at first. Secrets are sealed by the vault; whoever writes one never reads it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from entrepot.access.faults import Forbidden, Invalid, NotFound
from entrepot.metadata import events, sealed, settings
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.events import Source
from entrepot.registry import read_only
from entrepot.system.keys import Key, Kind, Value, keys, says_who_people_are
from entrepot.vault.vault import Vault

#: Before the names of settings in the table.
_PREFIX = "configuration."
#: Kept where `entrepot readonly` keeps it.
_READ_ONLY = "read_only"
_SUBJECT = "configuration"
#: Secrets, and the settings that say to whom they are sent: the secret is forgotten when one of these changes.
_SENT_TO = {
    "ldap_search_password": ("ldap_url", "ldap_search_dn"),
    "oidc_client_secret": ("oidc_endpoint", "oidc_client_id"),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One setting as it is shown."""

    value: Value
    editable: bool


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be written: texts by the keys of the table, and what to tell of it."""

    rows: dict[str, str]
    told: dict[str, object] = field(default_factory=dict)


class Configuration:
    """Reads and changes the settings; `fixed` are those that the configuration file decides."""

    def __init__(self, metadata: Database, vault: Vault, fixed: Mapping[str, Value] | None = None) -> None:
        self._metadata = metadata
        self._vault = vault
        self._fixed = dict(fixed or {})

    async def get(self, name: str) -> Value:
        """Return one setting that is no secret.

        Raises:
            NotFound: There is none of this name.
        """
        key = _known(name)
        if key.kind is Kind.SECRET:
            raise NotFound(f"{name} is a secret, which is not shown")
        if name in self._fixed:
            return self._fixed[name]
        if name == _READ_ONLY:
            return await read_only.is_on(self._metadata)
        stored = await settings.find(self._metadata, _PREFIX + name)
        return key.default if stored is None or key.fixed else _read(stored)

    async def values(self) -> dict[str, Value]:
        """Return all settings but the secrets."""
        stored = await settings.beginning_with(self._metadata, _PREFIX)
        found = {name: self._value(key, stored) for name, key in keys().items() if key.kind is not Kind.SECRET}
        if _READ_ONLY not in self._fixed:
            found[_READ_ONLY] = await read_only.is_on(self._metadata)
        return found

    async def shown(self) -> dict[str, Item]:
        """Return all settings but the secrets, each with whether it can be changed."""
        return {name: Item(value, self._is_editable(name)) for name, value in (await self.values()).items()}

    async def secret(self, name: str) -> str:
        """Return a secret, for those who use it; the empty text when it is not set.

        Raises:
            NotFound: There is no secret of this name.
            VaultError: It cannot be opened.
        """
        if _known(name).kind is not Kind.SECRET:
            raise NotFound(f"{name} is no secret")
        if name in self._fixed:
            return str(self._fixed[name])
        row = _PREFIX + name
        stored = await settings.find(self._metadata, row)
        return "" if stored is None else await self._vault.open(stored, sealed.about(sealed.SETTING, row))

    async def change(self, values: Mapping[str, object], *, by: Source, whole: bool = True) -> None:
        """Change settings; those that are not named stay.

        A secret is forgotten when it would be sent to another server, or by another name, than it was given for.

        Args:
            values: What to change.
            by: Who changes it.
            whole: Whether they may do everything; else what says who people are stays as it is.

        Raises:
            Invalid: There is no such setting, or it cannot have this value.
            Forbidden: The configuration file decides it, this registry has only one value for it, or it makes
                administrators and is for them alone to change.
        """
        change = await self._change(values)
        decisive = sorted(filter(says_who_people_are, change.told))
        if decisive and not whole:
            raise Forbidden(f"only who may do everything changes who people are: {', '.join(decisive)}")

        async def work(tx: Transaction) -> None:
            for row, text in change.rows.items():
                await settings.put(tx, row, text)
            if change.rows:
                await events.add(tx, events.CONFIGURE, by=by, subject=_SUBJECT, detail=change.told)

        await self._metadata.write(work, name="change configuration")

    async def _change(self, values: Mapping[str, object]) -> _Change:
        current = await self.values()
        change = _Change({})
        for name, given in values.items():
            key = _named(name)
            value = key.checked(given)
            if key.kind is Kind.SECRET:
                await self._add_secret(change, name, str(value))
            elif value != current[name]:
                self._require_editable(name)
                row, text = _row(name, value)
                change.rows[row] = text
                change.told[name] = {"from": current[name], "to": value}
        await self._forget_secrets(change)
        return change

    async def _forget_secrets(self, change: _Change) -> None:
        for name, places in _SENT_TO.items():
            if name not in change.told and name not in self._fixed and any(place in change.told for place in places):
                await self._add_secret(change, name, "")
                change.told[name] = "forgotten"

    async def _add_secret(self, change: _Change, name: str, secret: str) -> None:
        self._require_editable(name)
        row = _PREFIX + name
        change.rows[row] = await self._vault.seal(secret, sealed.about(sealed.SETTING, row))
        change.told[name] = "changed"

    def _value(self, key: Key, stored: Mapping[str, str]) -> Value:
        if key.name in self._fixed:
            return self._fixed[key.name]
        text = stored.get(_PREFIX + key.name)
        return key.default if text is None or key.fixed else _read(text)

    def _is_editable(self, name: str) -> bool:
        return name not in self._fixed and not keys()[name].fixed

    def _require_editable(self, name: str) -> None:
        if name in self._fixed:
            raise Forbidden(f"{name} is set by the configuration file; change it there")
        if keys()[name].fixed:
            raise Forbidden(f"{name} cannot be changed here: this registry knows only {keys()[name].default!r}")


def _known(name: str) -> Key:
    key = keys().get(name)
    if key is None:
        raise NotFound(f"there is no setting {name[:50]!a}")
    return key


def _named(name: str) -> Key:
    try:
        return _known(name)
    except NotFound as error:
        raise Invalid(str(error)) from None


def _read(text: str) -> Value:
    value: Value = json.loads(text)
    return value


def _row(name: str, value: Value) -> tuple[str, str]:
    """Return key and text of a row; as JSON, no value looks like a sealed one."""
    if name == _READ_ONLY:
        return read_only.KEY, "on" if value else "off"
    return _PREFIX + name, json.dumps(value)
