"""Puts a deployment together: the one place that knows which adapters are used.

`embedded` opens one folder: SQLite for the metadata, files for the blobs. `web` and `jobs` are what the two kinds of
worker processes run on top of it; the supervisor knows them by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entrepot.access.admin import forget_first_password, set_password
from entrepot.access.authorizer import Authorizer
from entrepot.access.challenge import BasicChallenge
from entrepot.access.operator import OperatorAuthenticator
from entrepot.access.policy import Policy
from entrepot.access.rates import Rates
from entrepot.access.sessions import Sessions
from entrepot.accounts.directory.model import NoDirectory
from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.measured import MeasuredBlobStore
from entrepot.adapters.identity.accounts import hash_password
from entrepot.adapters.identity.ldap.source import directory_source
from entrepot.adapters.identity.setup import Access, build_access, head_signer, prepare_access
from entrepot.adoption.gate import FolderGate
from entrepot.adoption.intake import Intake
from entrepot.adoption.leftovers import Leftovers
from entrepot.adoption.note import leave_note
from entrepot.adoption.report import ReportFile
from entrepot.adoption.rights import require_rights
from entrepot.adoption.state import prepare
from entrepot.adoption.tree import Tree
from entrepot.audit.forwarding import Forwarder, Receiver
from entrepot.audit.retention import Retention
from entrepot.audit.sealing import Sealer
from entrepot.config import Config
from entrepot.jobs.adoption import FolderAdoption
from entrepot.jobs.auditing import Auditing, AuditRetention
from entrepot.jobs.model import Job
from entrepot.jobs.outbox import OutboxConsumer
from entrepot.jobs.provider_check import ProviderCheck
from entrepot.jobs.upload_purging import UploadPurging
from entrepot.jobs.worker import JobWorker
from entrepot.metadata.opening import Stores, open_embedded
from entrepot.metadata.outbox import Handler
from entrepot.projection.files import TreeFiles
from entrepot.projection.projector import Projector
from entrepot.projects.contents.pulls import PullCounter
from entrepot.registry.ports import BlobStore, LocalFiles
from entrepot.registry.read_only import ReadOnlySwitch
from entrepot.registry.service import Registry, build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.serving.slow_readers import limit_slow_readers
from entrepot.serving.worker_runtime import WorkerRuntime
from entrepot.system.configuration import Configuration
from entrepot.system.from_config import fixed_values
from entrepot.telemetry.access_log import AccessLog
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.metrics import RequestMetrics
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from entrepot.web.api.mount import AsgiApp, LazyApi
from entrepot.web.application import Application
from entrepot.web.from_config import web_settings
from entrepot.web.login import session_routes
from entrepot.web.oidc.routes import ProviderPages
from entrepot.web.proxies import Proxies
from entrepot.web.rates import RateLimits
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.session.gate import SessionGate
from entrepot.web.token.endpoint import token_routes

if TYPE_CHECKING:
    from entrepot.accounts.providers.checking import ProviderChecks
    from entrepot.accounts.providers.sign_in import ProviderSignIn
    from entrepot.adapters.identity.ldap.tending import TendedDirectory


_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """The parts of a registry in one folder, as one process has them."""

    config: Config
    stores: Stores
    store: BlobStore
    files: LocalFiles
    read_only: ReadOnlySwitch
    registry: Registry
    intake: Intake
    vault: Vault


@contextlib.asynccontextmanager
async def embedded(config: Config, metrics: Metrics) -> AsyncIterator[Embedded]:
    """Open a registry in the folder that the configuration names."""
    require_rights(config.data)
    async with contextlib.AsyncExitStack() as stack:
        stores = await open_embedded(config.state)
        stack.push_async_callback(stores.close)
        leave_note(config.data)
        files = FilesystemBlobStore(config.data, threads=config.file_operations)
        stack.callback(files.close)
        store = MeasuredBlobStore(files, metrics, "filesystem")
        read_only = ReadOnlySwitch(stores.metadata, configured=config.storage.maintenance.readonly.enabled)
        await read_only.look()
        settings = RegistrySettings(
            delete_enabled=config.storage.delete.enabled,
            read_only=read_only,
            requires_platform=config.validation.manifests.indexes.require,
            permits_url=config.validation.permits_url,
            grace_seconds=config.lifecycle.grace,
        )
        intake = Intake(stores.metadata, Tree(config.data))
        await prepare(intake.metadata, intake.tree)
        registry = build_registry(
            metadata=stores.metadata,
            work=stores.work,
            store=store,
            settings=settings,
            gate=FolderGate(intake, ReportFile(config.data)),
        )
        source = KeySource(config.state, os.environ)
        source.check()
        yield Embedded(
            config=config,
            stores=stores,
            store=store,
            files=files,
            read_only=read_only,
            registry=registry,
            intake=intake,
            vault=Vault(stores.metadata, source),
        )


@contextlib.asynccontextmanager
async def web(config: Config, runtime: WorkerRuntime) -> AsyncIterator[Application]:
    """Give the ASGI application of one web worker."""
    async with (
        embedded(config, runtime.metrics) as parts,
        in_background(parts.read_only.watch()),
        in_background(limit_slow_readers(config.http.limits.bodytimeout)),
    ):
        for notice in await prepare_access(config, parts.stores.metadata, os.environ):
            runtime.note(notice)
        access = build_access(config, parts.stores, parts.vault, runtime.folder)
        settings = web_settings(config)
        proxies = Proxies(settings)
        gate = SessionGate(_sessions(config, parts.stores), proxies, plain_http=config.access.sessions.plainhttp)
        rates = Rates(config.access.limits.model_dump(), parts.stores.work)
        pulls = PullCounter(parts.stores.metadata, paused=parts.read_only)
        services = Services(
            registry=parts.registry,
            store=parts.store,
            files=parts.files,
            authenticator=access.authenticator,
            authorizer=access.authorizer,
            challenge=access.challenge,
            settings=settings,
            proxies=proxies,
            metrics=RequestMetrics(runtime.metrics),
            access_log=runtime.access_log,
            readiness=runtime.problems,
            sessions=gate if access.people else None,
            second_factors=access.second_factors,
            rates=RateLimits(rates, settings.prefix),
            count_pull=pulls.note,
        )
        async with contextlib.AsyncExitStack() as stack:
            for work in (pulls.run, rates.run, *access.background):
                await stack.enter_async_context(in_background(work()))
            api = LazyApi(functools.partial(_management, parts, access, services), prefix=settings.prefix)
            yield Application(services, _plain_routes(parts, access, gate), api)


def _plain_routes(parts: Embedded, access: Access, gate: SessionGate) -> Mapping[str, Route]:
    """List the routes that are none of the registry's and none of the management API's."""
    tokens = token_routes(access.desk) if access.desk else {}
    if access.people is None:
        return tokens
    section = parts.config.access
    pages = ProviderPages(gate, functools.partial(_provider_sign_in, parts, gate.sessions))
    if section.has_providers:
        pages.prepare()
    return {
        **tokens,
        **session_routes(gate, access.people, pages.farewell),
        **pages.routes(provider.name for provider in section.providers),
    }


def _provider_sign_in(parts: Embedded, sessions: Sessions) -> ProviderSignIn:
    from entrepot.adapters.identity.oidc.setup import build_sign_in  # noqa: PLC0415 - many have no provider
    from entrepot.adapters.identity.oidc.source import provider_source  # noqa: PLC0415 - as above

    source = provider_source(parts.config, _configuration(parts))
    return build_sign_in(source, parts.stores, parts.vault, sessions)


def _sessions(config: Config, stores: Stores) -> Sessions:
    wanted = config.access.sessions
    return Sessions(stores.metadata, stores.work, idle=wanted.idle, absolute=wanted.absolute)


def _management(parts: Embedded, access: Access, services: Services) -> AsgiApp:
    """Build the management API; imported when the first request comes, for FastAPI takes half a second."""
    from entrepot.web.api.app import build_api  # noqa: PLC0415 - see above
    from entrepot.web.api.composition import Parts, build_services  # noqa: PLC0415 - as above

    return build_api(
        build_services(
            Parts(
                web=services,
                metadata=parts.stores.metadata,
                work=parts.stores.work,
                policy=access.policy,
                configuration=_configuration(parts),
                directory=access.directory,
                folder=parts.config.data,
                hash_password=hash_password,
                people=access.people,
                password_changed=functools.partial(forget_first_password, parts.config.state),
            )
        )
    )


def _configuration(parts: Embedded) -> Configuration:
    """Give what the registry is set to while it runs."""
    return Configuration(parts.stores.metadata, parts.vault, fixed_values(parts.config))


@contextlib.asynccontextmanager
async def operator(config: Config, name: str) -> AsyncIterator[Application]:
    """Give the application to the command line, for work on the data folder: every request is the operator's."""
    metrics = Metrics()
    async with embedded(config, metrics) as parts:
        policy = Policy(parts.stores.metadata)
        access = Access(
            authenticator=OperatorAuthenticator(name),
            authorizer=Authorizer(policy),
            policy=policy,
            challenge=BasicChallenge("entrepot"),
        )
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
        )
        build = functools.partial(_management, parts, access, services)
        yield Application(services, {}, LazyApi(build, prefix=settings.prefix))


@contextlib.asynccontextmanager
async def jobs(config: Config, runtime: WorkerRuntime) -> AsyncIterator[Callable[[asyncio.Event], Awaitable[None]]]:
    """Give the loop of the job worker."""
    async with embedded(config, runtime.metrics) as parts, in_background(parts.read_only.watch()):
        yield JobWorker(parts.stores.work, job_list(parts, runtime.metrics), runtime.metrics).run


def job_list(parts: Embedded, metrics: Metrics) -> list[Job]:
    """List the jobs of an embedded registry."""
    purging = parts.config.storage.maintenance.uploadpurging
    adoption = FolderAdoption(parts.intake, ReportFile(parts.config.data), metrics)
    found = [
        Job(name="outbox", run=OutboxConsumer(parts.stores.metadata, outbox_handlers(parts), metrics).run),
        Job(name="adoption", run=adoption.run),
    ]
    if purging.enabled:
        purge = UploadPurging(
            work=parts.stores.work,
            store=parts.store,
            read_only=parts.read_only,
            age=purging.age,
            leftovers=Leftovers(parts.intake.tree),
            dry_run=purging.dryrun,
        )
        found.append(Job(name="upload-purging", run=purge.run, interval=purging.interval))
    return [*found, *audit_jobs(parts), *provider_jobs(parts), *directory_jobs(parts)]


def directory_jobs(parts: Embedded) -> list[Job]:
    """List what is done about people of a directory, which may be set up while the registry runs."""
    section = parts.config.access.ldap
    if not parts.config.has_accounts or not section.sync.enabled:
        return []
    from entrepot.adapters.identity.ldap.tending import rules_of  # noqa: PLC0415 - no web process needs it
    from entrepot.jobs.directory_sync import DirectorySync  # noqa: PLC0415 - as above

    source = directory_source(section, _configuration(parts))
    sync = DirectorySync(parts.stores.metadata, source, rules_of(section.sync))
    return [Job(name="directory-sync", run=sync.run, interval=section.sync.interval)]


def provider_jobs(parts: Embedded) -> list[Job]:
    """List what is done about people of sign-in providers, one of which may be set up while the registry runs."""
    if not parts.config.has_accounts:
        return []
    check = ProviderCheck(functools.partial(_provider_checks, parts), parts.config.access.shortest_check)
    return [Job(name="provider-check", run=check.run, interval=check.interval)]


def _provider_checks(parts: Embedded) -> ProviderChecks:
    from entrepot.adapters.identity.oidc.setup import build_checks  # noqa: PLC0415 - many have no provider
    from entrepot.adapters.identity.oidc.source import provider_source  # noqa: PLC0415 - as above

    source = provider_source(parts.config, _configuration(parts))
    return build_checks(source, parts.stores.metadata, parts.vault)


def audit_jobs(parts: Embedded) -> list[Job]:
    """List what is done for the audit log beside the requests that write it."""
    audit, metadata = parts.config.audit, parts.stores.metadata
    sealer = Sealer(metadata, head_signer(parts.config))
    forwarder = Forwarder(metadata, Receiver(audit.syslog)) if audit.syslog else None
    found = [Job(name="audit", run=Auditing(sealer, forwarder).run)]
    if audit.retention:
        shorten = AuditRetention(Retention(metadata, audit.retention))
        found.append(Job(name="audit-retention", run=shorten.run, interval=_HOUR))
    return found


def outbox_handlers(parts: Embedded) -> list[Handler]:
    """List who is told what transactions left to be done."""
    return [Projector(parts.stores.metadata, TreeFiles(parts.config.data)).project]


@contextlib.asynccontextmanager
async def in_background(work: Awaitable[None]) -> AsyncIterator[None]:
    """Let something run beside the body, and end it after."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def directory(config: Config) -> AsyncIterator[TendedDirectory]:
    """Give the directory to the command line, beside a running server or without one.

    Raises:
        NoDirectory: None is configured, or its settings cannot be used.
        SetupError: The configuration file's settings cannot be used.
    """
    from entrepot.adapters.identity.ldap.tending import TendedDirectory  # noqa: PLC0415 - no web process needs it

    stores = await open_embedded(config.state)
    try:
        vault = Vault(stores.metadata, KeySource(config.state, os.environ))
        configuration = Configuration(stores.metadata, vault, fixed_values(config))
        source = directory_source(config.access.ldap, configuration)
        configured = await source.current()
        if configured is None:
            raise NoDirectory("no directory is configured: access.ldap has no servers, and auth_mode is not ldap_auth")
        yield TendedDirectory(metadata=stores.metadata, directory=configured.directory, rules=config.access.ldap.sync)
        await source.close()
    finally:
        await stores.close()


async def change_password(config: Config, name: str, password: str) -> bool:
    """Change an account's password; False when there is no such account."""
    stores = await open_embedded(config.state)
    try:
        return await set_password(stores.metadata, config.state, hash_password, name, password)
    finally:
        await stores.close()
