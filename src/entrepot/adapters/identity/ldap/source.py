"""Which directory is asked: that of the configuration file, or else that of the settings by Harbor's names.

The settings may change while the registry runs, so they are looked at again every few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from entrepot.access.errors import SetupError
from entrepot.access.faults import Invalid
from entrepot.accounts.directory.model import Configured, Directory, DirectorySource, NoDirectory, Times
from entrepot.config.schema.ldap import Ldap
from entrepot.system.configuration import Configuration
from entrepot.system.keys import Value, keys
from entrepot.vault.errors import VaultError

#: Seconds between two looks at the settings.
_LOOK = 5.0

if TYPE_CHECKING:
    from entrepot.adapters.identity.ldap.settings import LdapSettings


def directory_source(section: Ldap, configuration: Configuration) -> DirectorySource:
    """Choose where the settings of the directory come from.

    Raises:
        SetupError: The configuration file's cannot be used; the message says why.
    """
    return fixed_directory(section) if section.enabled else SetDirectory(configuration)


def fixed_directory(section: Ldap) -> FixedDirectory:
    """Give the directory of the configuration file.

    Raises:
        SetupError: It cannot be used; the message says why.
    """
    from entrepot.adapters.identity.ldap.settings import from_config  # noqa: PLC0415 - few have a directory

    times = Times(remember=section.remember, offline=section.offline, patience=section.patience)
    try:
        return FixedDirectory(Configured(directory=_open(from_config(section)), times=times))
    except NoDirectory as error:
        raise SetupError(str(error)) from error


class FixedDirectory:
    """The directory of the configuration file."""

    def __init__(self, configured: Configured) -> None:
        self._configured = configured

    async def current(self) -> Configured:
        """See `DirectorySource`."""
        return self._configured

    async def trial(self, values: Mapping[str, object]) -> Directory:
        """Refuse: other settings than the file's would be of no use.

        Raises:
            NoDirectory: Always.
        """
        raise NoDirectory(f"the directory is set by the configuration file, so {', '.join(values)} cannot be tried")

    async def close(self) -> None:
        """See `DirectorySource`."""
        await self._configured.directory.close()


class SetDirectory:
    """The directory of the settings `ldap_*`, while `auth_mode` is `ldap_auth`."""

    def __init__(self, configuration: Configuration, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._configuration = configuration
        self._clock = clock
        self._looked = -_LOOK
        self._settings: LdapSettings | None = None
        self._current: Configured | None = None
        self._fault = ""

    async def current(self) -> Configured | None:
        """See `DirectorySource`."""
        if self._clock() - self._looked >= _LOOK:
            self._looked = self._clock()
            await self._look()
        if self._fault:
            raise NoDirectory(self._fault)
        return self._current

    async def trial(self, values: Mapping[str, object]) -> Directory:
        """See `DirectorySource`."""
        present = await self._configuration.values()
        merged = present | {name: _checked(name, value) for name, value in values.items()}
        password = values.get("ldap_search_password")
        if password is None:
            # The one that is kept goes to nobody but those whom it is kept for.
            same = all(merged[name] == present[name] for name in ("ldap_url", "ldap_search_dn"))
            password = await self._configuration.secret("ldap_search_password") if same else ""
        if merged["ldap_search_dn"] and not password:
            raise NoDirectory(
                "give ldap_search_password: for another server or account the one that is set is not sent"
            )
        return _open(_read(merged, str(password)))

    async def close(self) -> None:
        """See `DirectorySource`."""
        await self._change(None)

    async def _look(self) -> None:
        values = await self._configuration.values()
        self._fault = ""
        try:
            await self._change(await self._read(values) if _is_on(values) else None)
        except (NoDirectory, VaultError) as error:
            self._fault = str(error)

    async def _read(self, values: Mapping[str, Value]) -> LdapSettings:
        return _read(values, await self._configuration.secret("ldap_search_password"))

    async def _change(self, settings: LdapSettings | None) -> None:
        if settings == self._settings:
            return
        old, self._current, self._settings = self._current, None, None
        if old is not None:
            await old.directory.close()
        if settings is not None:
            self._current = Configured(directory=_open(settings), times=Times())
        self._settings = settings


def _checked(name: str, value: object) -> Value:
    try:
        return keys()[name].checked(value)
    except Invalid as error:
        raise NoDirectory(str(error)) from None


def _is_on(values: Mapping[str, Value]) -> bool:
    return values["auth_mode"] == "ldap_auth" and bool(values["ldap_url"])


def _read(values: Mapping[str, Value], password: str) -> LdapSettings:
    from entrepot.adapters.identity.ldap.harbor import from_harbor  # noqa: PLC0415 - few have a directory

    return from_harbor(values, password)


def _open(settings: LdapSettings) -> Directory:
    from entrepot.adapters.identity.ldap.directory import LdapDirectory  # noqa: PLC0415 - few have a directory

    return LdapDirectory(settings)
