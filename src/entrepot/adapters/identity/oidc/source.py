"""The providers there are: those of the configuration file, and the one of the settings by Harbor's names.

The settings may change while the registry runs, so they are looked at again every few seconds.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from entrepot.access.tokens.foreign_issuer import Issuer
from entrepot.accounts.providers.mapping import Rules, RulesInvalid
from entrepot.accounts.providers.model import Provider, ProviderSource, ProviderUnavailable
from entrepot.adapters.identity.oidc.code_flow import RegisteredClient
from entrepot.adapters.identity.oidc.openid import ClaimNames, OpenIdProvider
from entrepot.adapters.identity.oidc.setup import build_providers
from entrepot.config.schema.config import Config
from entrepot.outbound.client import Client
from entrepot.outbound.errors import OutboundError
from entrepot.outbound.settings import OutboundSettings
from entrepot.system.configuration import Configuration
from entrepot.system.keys import Value
from entrepot.vault.errors import VaultError

_log = logging.getLogger(__name__)

#: Seconds between two looks at the settings.
_LOOK = 5.0
_MODE = "oidc_auth"
_DEFAULT_NAME_CLAIM = "preferred_username"


def provider_source(config: Config, configuration: Configuration) -> ProviderSource:
    """Say which providers there are.

    Raises:
        SetupError: A provider of the configuration file cannot be used.
    """
    outbound = OutboundSettings.from_config(config.outbound)
    return Providers(build_providers(config.access, outbound), SetProvider(configuration, outbound))


class Providers:
    """A `ProviderSource`."""

    def __init__(self, fixed: Sequence[Provider], own: SetProvider) -> None:
        self._fixed = fixed
        self._set = own

    @property
    def fixed(self) -> Collection[str]:
        """See `ProviderSource`."""
        return [provider.name for provider in self._fixed]

    async def all(self) -> Sequence[Provider]:
        """See `ProviderSource`; of two with one name the configuration file's counts."""
        found = await self._set.find()
        return self._fixed if found is None or found.name in self.fixed else [*self._fixed, found]


async def try_issuer(outbound: OutboundSettings, issuer: str, ca: str = "") -> None:
    """Ask an issuer for its discovery document; `ca` is PEM text of more authorities to believe.

    Raises:
        ProviderUnavailable: It cannot be asked, or gives none that can be used.
    """
    try:
        await Issuer(Client(outbound.with_ca("", pem=ca)), issuer).metadata()
    except OutboundError as error:
        raise ProviderUnavailable(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a provider is made of, to see whether that has changed."""

    values: Mapping[str, Value]
    secret: str = field(repr=False)


class SetProvider:
    """The provider of the settings `oidc_*`, while `auth_mode` is `oidc_auth`."""

    def __init__(
        self, configuration: Configuration, outbound: OutboundSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._configuration = configuration
        self._outbound = outbound
        self._clock = clock
        self._looked = -_LOOK
        self._settings: _Settings | None = None
        self._provider: Provider | None = None

    async def find(self) -> Provider | None:
        """Return the provider, if one is set."""
        if self._clock() - self._looked >= _LOOK:
            self._looked = self._clock()
            await self._look()
        return self._provider

    async def _look(self) -> None:
        settings = await self._read()
        if settings != self._settings:
            self._settings = settings
            self._provider = None if settings is None else self._build(settings)

    async def _read(self) -> _Settings | None:
        every = await self._configuration.values()
        values = {name: value for name, value in every.items() if name.startswith("oidc_")}
        if every["auth_mode"] != _MODE or not (values["oidc_name"] and values["oidc_endpoint"]):
            return None
        try:
            return _Settings(values, await self._configuration.secret("oidc_client_secret"))
        except VaultError as error:
            _log.error("the sign-in provider of the settings cannot be used: %s", error)
            return None

    def _build(self, settings: _Settings) -> Provider | None:
        rules = _rules(settings.values)
        try:
            rules.check_filter()
        except RulesInvalid as error:
            _log.error("the sign-in provider of the settings cannot be used: %s", error)
            return None
        text = {name: str(value) for name, value in settings.values.items()}
        http = Client(self._outbound)
        return OpenIdProvider(
            name=text["oidc_name"],
            title=text["oidc_name"],
            rules=rules,
            issuer=Issuer(http, text["oidc_endpoint"]),
            client=RegisteredClient(
                id=text["oidc_client_id"],
                secret=lambda: settings.secret,
                scopes=tuple(text["oidc_scope"].replace(",", " ").split()),
                parameters=_parameters(text["oidc_extra_redirect_parms"]),
            ),
            claims=ClaimNames(name=text["oidc_user_claim"] or _DEFAULT_NAME_CLAIM, groups=text["oidc_groups_claim"]),
            http=http,
            logout=bool(settings.values["oidc_logout"]),
        )


def _rules(values: Mapping[str, Value]) -> Rules:
    admins = str(values["oidc_admin_group"])
    return Rules(
        auto_onboard=bool(values["oidc_auto_onboard"]),
        group_filter=str(values["oidc_group_filter"]),
        admin_groups=frozenset({admins} if admins else ()),
    )


def _parameters(text: str) -> dict[str, str]:
    """Read Harbor's JSON of more parameters; what is none is left out."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
