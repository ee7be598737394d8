"""From the configuration to providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from entrepot.access.errors import SetupError
from entrepot.access.tokens.foreign_issuer import Issuer
from entrepot.access.web_sessions import Sessions
from entrepot.accounts.providers.account_checks import ProviderChecks
from entrepot.accounts.providers.mapping import Rules, RulesInvalid
from entrepot.accounts.providers.model import Provider, ProviderSource, ProviderUnavailable
from entrepot.accounts.providers.pending_sign_ins import Journeys, Strangers
from entrepot.accounts.providers.people import People
from entrepot.accounts.providers.provider_tokens import Grips
from entrepot.accounts.providers.sign_in import ProviderParts, ProviderSignIn
from entrepot.adapters.identity.oidc.code_flow import RegisteredClient
from entrepot.adapters.identity.oidc.oauth import Endpoints, GroupList, OAuthProvider, Templates
from entrepot.adapters.identity.oidc.openid import ClaimNames, OpenIdProvider
from entrepot.config.schema.auth import Access
from entrepot.config.schema.providers import OAuthProvider as OAuthSection
from entrepot.config.schema.providers import OidcProvider as OidcSection
from entrepot.metadata.database import Database
from entrepot.metadata.opening import Stores
from entrepot.outbound.client import Client
from entrepot.outbound.settings import OutboundSettings
from entrepot.vault.vault import Vault


def build_providers(access: Access, outbound: OutboundSettings) -> Sequence[Provider]:
    """Build the providers of the sections `access.oidc` and `access.oauth`.

    Raises:
        SetupError: A name is used twice, or a filter cannot be read.
    """
    found = list(_providers(access, outbound))
    names = [provider.name for provider in found]
    for name in names:
        if names.count(name) > 1:
            raise SetupError(f"access.oidc and access.oauth: two providers are named {name}; give one another name")
    return found


def _providers(access: Access, outbound: OutboundSettings) -> Iterator[Provider]:
    for oidc in access.oidc:
        yield _openid(oidc, outbound)
    for oauth in access.oauth:
        yield _oauth(oauth, outbound)


def _openid(section: OidcSection, outbound: OutboundSettings) -> OpenIdProvider:
    http = Client(outbound.with_ca(section.ca))
    return OpenIdProvider(
        name=section.name,
        title=section.title or section.name,
        rules=_rules(section),
        issuer=Issuer(http, section.issuer),
        client=_client(section, pkce=True),
        claims=ClaimNames(name=section.nameclaim, groups=section.groupsclaim),
        http=http,
        logout=section.logout,
    )


def _oauth(section: OAuthSection, outbound: OutboundSettings) -> OAuthProvider:
    groups = tuple(GroupList(url=entry.url, items=entry.items, name=entry.name) for entry in section.groups)
    return OAuthProvider(
        name=section.name,
        title=section.title or section.name,
        rules=_rules(section),
        client=_client(section, pkce=section.pkce),
        endpoints=Endpoints(
            authorize=section.authorizeurl, token=section.tokenurl, user=section.userurl, groups=groups
        ),
        templates=Templates(
            subject=section.subject, name=section.username, email=section.email, realname=section.realname
        ),
        http=Client(outbound.with_ca(section.ca)),
    )


def _rules(section: OidcSection | OAuthSection) -> Rules:
    rules = Rules(
        auto_onboard=section.autoonboard,
        group_filter=section.groupfilter,
        allowed_groups=frozenset(section.allowedgroups),
        admin_groups=frozenset(section.admingroups),
        check=section.check,
        offline=section.offline,
    )
    try:
        rules.check_filter()
    except RulesInvalid as error:
        raise SetupError(f"{section.section} {section.name}: {error}") from None
    return rules


def _client(section: OidcSection | OAuthSection, *, pkce: bool) -> RegisteredClient:
    return RegisteredClient(
        id=section.clientid,
        secret=_secret(section),
        scopes=section.scopes,
        parameters=section.parameters,
        pkce=pkce,
    )


def _secret(section: OidcSection | OAuthSection) -> Callable[[], str]:
    """Return how to get at the secret: the file is read each time, so that a new one needs no restart."""
    if not section.clientsecretfile:
        return section.clientsecret.get_secret_value
    path = Path(section.clientsecretfile)

    def read() -> str:
        try:
            return path.read_text().strip()
        except (OSError, ValueError) as error:
            raise ProviderUnavailable(f"{section.section} {section.name}: {path} cannot be read: {error}") from error

    return read


def build_sign_in(source: ProviderSource, stores: Stores, vault: Vault, sessions: Sessions) -> ProviderSignIn:
    """Build what signs people in by providers."""
    parts = ProviderParts(
        people=People(stores.metadata),
        grips=Grips(stores.metadata, vault),
        sessions=sessions,
        journeys=Journeys(vault),
        strangers=Strangers(stores.work, vault),
    )
    return ProviderSignIn(source, parts)


def build_checks(source: ProviderSource, metadata: Database, vault: Vault) -> ProviderChecks:
    """Build what asks providers again."""
    return ProviderChecks(metadata, source, People(metadata), Grips(metadata, vault))
