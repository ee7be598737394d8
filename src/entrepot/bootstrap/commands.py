"""What commands work with on a data folder, beside a running server or without one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

from entrepot.access.admin_account import set_password
from entrepot.access.authorizer import Authorizer
from entrepot.access.challenge import BasicChallenge
from entrepot.access.operator import OperatorAuthenticator
from entrepot.access.policy import Policy
from entrepot.accounts.directory.model import Directory, NoDirectory
from entrepot.adapters.identity.accounts import hash_password
from entrepot.adapters.identity.ldap.source import directory_source
from entrepot.adapters.identity.setup import Access, build_access, secrets_folder
from entrepot.bootstrap.databases import opened_databases, secret_key_of
from entrepot.bootstrap.deployment import Deployment, deployment
from entrepot.bootstrap.web import management
from entrepot.config import Config
from entrepot.system.configuration import Configuration
from entrepot.system.from_config import fixed_values
from entrepot.telemetry.access_log import AccessLog
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.metrics import RequestMetrics
from entrepot.vault.vault import Vault
from entrepot.web.api.mount import LazyApi
from entrepot.web.application import Application
from entrepot.web.from_config import web_settings
from entrepot.web.proxies import Proxies
from entrepot.web.services import Services

if TYPE_CHECKING:
    from entrepot.adapters.identity.ldap.administration import TendedDirectory


@contextlib.asynccontextmanager
async def operator(config: Config, name: str) -> AsyncIterator[Application]:
    """Give the application to the command line, for work on the registry itself: every request is the operator's."""
    metrics = Metrics()
    async with deployment(config, metrics) as parts:
        access = await _operators(config, parts, name)
        settings = web_settings(config)
        services = Services(
            registry=parts.registry,
            store=parts.store,
            files=parts.files,
            authenticator=access.authenticator,
            authorizer=access.authorizer,
            challenge=access.challenge,
            settings=settings,
            proxies=Proxies(settings),
            metrics=RequestMetrics(metrics),
            access_log=AccessLog(enabled=False),
            second_factors=access.second_factors,
            security_keys=access.security_keys,
        )
        build = functools.partial(management, parts, access, services)
        yield Application(services, {}, LazyApi(build, prefix=settings.prefix))


async def _operators(config: Config, parts: Deployment, name: str) -> Access:
    """Give what decides about the operator's requests: everything that there is for people, and a yes to all of it."""
    policy = Policy(parts.stores.metadata)
    alone = Access(
        authenticator=OperatorAuthenticator(name),
        authorizer=Authorizer(policy),
        policy=policy,
        challenge=BasicChallenge("entrepot"),
    )
    if not config.has_accounts:
        return alone
    every = await build_access(config, parts.stores, parts.vault)
    return replace(
        alone,
        people=every.people,
        local_passwords=every.local_passwords,
        second_factors=every.second_factors,
        security_keys=every.security_keys,
        directory=every.directory,
    )


@contextlib.asynccontextmanager
async def directory(config: Config) -> AsyncIterator[TendedDirectory]:
    """Give the directory to the command line, beside a running server or without one.

    Raises:
        NoDirectory: None is configured, or its settings cannot be used.
        SetupError: The configuration file's settings cannot be used.
    """
    from entrepot.adapters.identity.ldap.administration import TendedDirectory  # noqa: PLC0415 - no web process needs it

    async with opened_databases(config) as stores:
        vault = Vault(stores.metadata, secret_key_of(config))
        configuration = Configuration(stores.metadata, vault, fixed_values(config))
        source = directory_source(config.access.ldap, configuration)
        configured = await source.current()
        if configured is None:
            raise NoDirectory("no directory is configured: access.ldap has no servers, and auth_mode is not ldap_auth")
        yield TendedDirectory(metadata=stores.metadata, directory=configured.directory, rules=config.access.ldap.sync)
        await source.close()


@contextlib.asynccontextmanager
async def directory_of_file(config: Config) -> AsyncIterator[Directory]:
    """Give the directory that the configuration file names, to be tried; no registry has to be there.

    Raises:
        SetupError: Its settings cannot be used.
    """
    from entrepot.adapters.identity.ldap.source import fixed_directory  # noqa: PLC0415 - few have a directory

    source = fixed_directory(config.access.ldap)
    try:
        yield (await source.current()).directory
    finally:
        await source.close()


async def change_password(config: Config, name: str, password: str) -> bool:
    """Change an account's password; False when there is no such account."""
    async with opened_databases(config) as stores:
        return await set_password(stores.metadata, secrets_folder(config), hash_password, name, password)
