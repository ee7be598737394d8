"""What can be said beforehand of the services that sign people in: may this registry ask them, and what they answer.

It is for `entrepot config check`, which has the configuration to come and no registry that runs with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from entrepot.access.errors import SetupError
from entrepot.accounts.providers.model import ProviderError
from entrepot.adapters.identity.oidc.openid import OpenIdProvider
from entrepot.adapters.identity.oidc.setup import build_providers
from entrepot.config import Config
from entrepot.outbound.errors import OutboundError, TargetRefused
from entrepot.outbound.guard import plan
from entrepot.outbound.settings import OutboundSettings
from entrepot.outbound.urls import Url

#: Seconds for a name service that does not answer.
_PATIENCE = 5.0


@dataclass(slots=True)
class Findings:
    """What was found."""

    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def look_at_ways(config: Config) -> list[str]:
    """Say which addresses of sign-in services this registry would refuse to ask; a name that is not known is none."""
    outbound = OutboundSettings.from_config(config.outbound)
    found = []
    for key, url in _addresses(config):
        try:
            async with asyncio.timeout(_PATIENCE):
                await plan(Url.parse(url), outbound)
        except TargetRefused as refused:
            found.append(f"{key}: nobody can sign in by it: {refused}")
        except (OutboundError, TimeoutError):
            continue
    return found


async def ask_providers(config: Config) -> Findings:
    """Ask each OpenID provider for its discovery document, as the registry would."""
    found = Findings()
    try:
        providers = build_providers(config.access, OutboundSettings.from_config(config.outbound))
    except SetupError as error:
        return Findings(problems=[str(error)])
    for index, provider in enumerate(one for one in providers if isinstance(one, OpenIdProvider)):
        key = f"access.oidc[{index}]"
        try:
            doubt = await provider.refresh_doubt()
        except ProviderError as error:
            found.problems.append(f"{key}.issuer: {error}")
        else:
            found.warnings += [f"{key}.scopes: {doubt}"] if doubt else []
    return found


def _addresses(config: Config) -> Iterator[tuple[str, str]]:
    for index, oidc in enumerate(config.access.oidc):
        yield f"access.oidc[{index}].issuer", oidc.issuer
    for index, oauth in enumerate(config.access.oauth):
        place = f"access.oauth[{index}]"
        yield f"{place}.tokenurl", oauth.tokenurl
        yield f"{place}.userurl", oauth.userurl
        known = {urlsplit(oauth.tokenurl).netloc, urlsplit(oauth.userurl).netloc}
        for number, groups in enumerate(oauth.groups):
            if urlsplit(groups.url).netloc not in known:
                yield f"{place}.groups[{number}].url", groups.url
