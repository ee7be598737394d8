"""The whole application over real parts, in one process: SQLite in a folder, blobs in memory or in files."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from entrepot.access.api_key_sign_in import KeySignIn
from entrepot.access.api_key_uses import KeyUses
from entrepot.access.authenticator import Authenticator, CredentialAuthenticator, OpenAuthenticator
from entrepot.access.authorizer import Authorizer
from entrepot.access.challenge import BasicChallenge, BearerChallenge
from entrepot.access.compatibility import ensure_compatibility
from entrepot.access.errors import CredentialsRefused
from entrepot.access.limits.counts import DatabaseCounts
from entrepot.access.limits.rates import Rates
from entrepot.access.limits.upload_slots import Places
from entrepot.access.model import Audience, Principal, PrincipalKind
from entrepot.access.passwords.guarded_passwords import StoredPassword
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.policy import Policy
from entrepot.access.roles import ensure_roles
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.access.second_factor.security_keys import SecurityKeys
from entrepot.access.sign_in import Chain
from entrepot.access.tokens.own_tokens import OwnTokenChecker, RememberedTokens, TokenService
from entrepot.access.tokens.signing_keys import load_or_create
from entrepot.access.web_sessions import Sessions
from entrepot.accounts.user_passwords import UserPasswords
from entrepot.adapters.blobs.filesystem import FilesystemBlobStore
from entrepot.adapters.blobs.memory import MemoryBlobStore
from entrepot.adapters.identity.ldap.source import SetDirectory
from entrepot.adapters.identity.oidc.source import try_issuer
from entrepot.jobs.audit_purge import PURGE_AUDIT_LOG
from entrepot.jobs.collection import GARBAGE_COLLECTION
from entrepot.jobs.retention import RETENTION
from entrepot.jobs.upload_purge import UPLOAD_PURGING
from entrepot.metadata.contents import projects
from entrepot.metadata.opening import Stores, open_embedded
from entrepot.metadata.opening_postgres import PostgresOptions, open_postgres
from entrepot.metadata.people import principals, users
from entrepot.oci.scope import parse_scopes
from entrepot.outbound.settings import OutboundSettings
from entrepot.registry.ports import BlobStore
from entrepot.registry.service import build_registry
from entrepot.registry.settings import RegistrySettings
from entrepot.system.configuration import Configuration
from entrepot.system.jobs.traits import JobTraits
from entrepot.system.volumes import volume_of
from entrepot.telemetry.access_log import AccessLog
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.metrics import RequestMetrics
from entrepot.vault.master import KeySource
from entrepot.vault.vault import Vault
from entrepot.web.api.app import build_api
from entrepot.web.api.composition import Parts, build_services
from entrepot.web.api.mount import LazyApi
from entrepot.web.application import Application
from entrepot.web.login import session_routes
from entrepot.web.proxies import Proxies
from entrepot.web.rates import RateLimits
from entrepot.web.reset_page import ResetPage
from entrepot.web.services import Services
from entrepot.web.session.gate import SessionGate
from entrepot.web.settings import WebSettings
from entrepot.web.upload_limits import UploadLimits
from tests.http.transport import AsgiClient
from tests.support.rights import give_all


@dataclass(kw_only=True)
class AppOptions:
    """What a test wants of its registry."""

    files: bool = False  #: blobs in files, sent by the server; else in memory
    store: BlobStore | None = None  #: another store than a new one in memory
    signed_in: bool = False  #: accounts and tokens; else open to everybody, as registry:2 without `auth`
    registry: dict[str, Any] = field(default_factory=dict)  #: fields of RegistrySettings
    web: dict[str, Any] = field(default_factory=dict)  #: fields of WebSettings
    services: dict[str, Any] = field(default_factory=dict)  #: fields of Services
    database: str = ""  #: address of a PostgreSQL database that has all tables; SQLite in the folder when empty
    rates: dict[str, str] = field(default_factory=dict)  #: limits by the names of `access.limits`, sizes in bytes
    at_once: dict[str, int] = field(default_factory=dict)  #: as `rates`, of what goes on at once


@dataclass(kw_only=True)
class App:
    """A running registry and its parts."""

    folder: Path
    stores: Stores
    store: BlobStore
    services: Services
    application: Application
    tokens: TokenService
    metrics: Metrics
    clock: list[float]  #: the time of tokens; a test moves it

    def client(self, **options: Any) -> AsgiClient:
        """Return a client."""
        return AsgiClient(self.application, **options)

    async def account(self, name: str, *rights: tuple[str, str]) -> Principal:
        """Make an account with grants: pairs as `give` takes them."""
        await self.stores.metadata.write(lambda tx: users.add(tx, name, secret=name))
        record = await principals.find(self.stores.metadata, principals.USER, name)
        assert record is not None
        await give_all(self.stores.metadata, record.id, rights)
        return Principal(kind=PrincipalKind.USER, name=name, id=record.id, epoch=record.epoch)

    async def publish(self, project: str) -> None:
        """Make a project public."""
        await self.stores.metadata.write(lambda tx: projects.set_visibility(tx, project, public=True, internal=False))

    async def bearer(self, principal: Principal, scopes: str) -> AsgiClient:
        """Return a client with a token for these scopes."""
        token = await self.tokens.issue(principal, parse_scopes(scopes))
        return self.client(headers={"Authorization": f"Bearer {token.text}"})

    def basic(self, name: str) -> AsgiClient:
        """Return a client that signs in with name and password, which are the same in tests."""
        encoded = base64.b64encode(f"{name}:{name}".encode()).decode()
        return self.client(headers={"Authorization": f"Basic {encoded}"})


class PlainPasswords:
    """Accounts whose password is their name: hashing is what tests/unit/access is about, not these tests."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def verify(self, basic: Any, client: str) -> Principal:
        """See `PasswordVerifier`."""
        record = await principals.find(self._stores.metadata, principals.USER, basic.username)
        stored = None if record is None or record.disabled else StoredPassword(_principal(record), record.secret or "")
        if stored is None or stored.encoded != basic.password:
            raise CredentialsRefused
        return stored.principal


def _principal(record: principals.PrincipalRecord) -> Principal:
    return Principal(kind=PrincipalKind.USER, name=record.name, id=record.id, epoch=record.epoch)


#: Runs a registry with the options of `AppOptions`.
Opener = Callable[..., Awaitable[App]]


#: The kinds of jobs that the API knows of here; no worker runs them.
JOB_KINDS = (
    UPLOAD_PURGING,
    PURGE_AUDIT_LOG,
    GARBAGE_COLLECTION,
    RETENTION,
    JobTraits(name="replication", title="Replicate", subjects="project:[0-9]+", parallel=4),
)


@asynccontextmanager
async def open_app(folder: Path, options: AppOptions | None = None) -> AsyncIterator[App]:
    """Run a registry in a folder."""
    options = options or AppOptions()
    stores = await _opened(folder, options.database)
    store = FilesystemBlobStore(folder) if options.files else (options.store or MemoryBlobStore())
    try:
        yield await _assemble(folder, stores, store, options)
    finally:
        if isinstance(store, FilesystemBlobStore):
            store.close()
        await stores.close()


async def _opened(folder: Path, database: str) -> Stores:
    if not database:
        return await open_embedded(folder / "entrepot")
    (folder / "entrepot").mkdir(exist_ok=True)
    return await open_postgres(database, PostgresOptions(connections=4, for_requests=True))


def _api(folder: Path, stores: Stores, policy: Policy, services: Services) -> LazyApi:
    """The management API, built at its first request as in production."""
    configuration = Configuration(stores.metadata, Vault(stores.metadata, KeySource(folder, {})))
    parts = Parts(
        web=services,
        metadata=stores.metadata,
        work=stores.work,
        policy=policy,
        configuration=configuration,
        directory=SetDirectory(configuration),
        try_issuer=partial(try_issuer, OutboundSettings.of(["127.0.0.1"])),
        volume=partial(volume_of, folder),
        hash_password=str,  # what `PlainPasswords` compares is the password itself
        local_passwords=PlainPasswords(stores),
        job_kinds=lambda: JOB_KINDS,
    )
    return LazyApi(lambda: build_api(build_services(parts)), prefix=services.settings.prefix)


async def _assemble(folder: Path, stores: Stores, store: Any, options: AppOptions) -> App:
    await ensure_roles(stores.metadata)
    await ensure_compatibility(stores.metadata, None if options.signed_in else Audience.ANYONE)
    policy = Policy(stores.metadata, max_age=0)
    authorizer = Authorizer(policy)
    keys = load_or_create(folder / "entrepot")
    clock = [1_800_000_000.0]
    tokens = TokenService(keys, authorizer, clock=lambda: clock[0])
    checker = OwnTokenChecker(keys, clock=lambda: clock[0])
    verifier = RememberedTokens(checker, policy, clock=lambda: clock[0])
    authenticator: Authenticator = OpenAuthenticator()
    if options.signed_in:
        api_keys = KeySignIn(stores.metadata, policy, KeyUses(stores.metadata), max_age=0)
        chain = Chain((api_keys,), PlainPasswords(stores))
        authenticator = CredentialAuthenticator(passwords=chain, tokens=verifier, keys=api_keys)
    settings = WebSettings(**options.web)
    metrics = Metrics()
    gate = SessionGate(Sessions(stores.metadata, stores.work), Proxies(settings))
    vault = Vault(stores.metadata, KeySource(folder, {}))
    services = Services(
        registry=build_registry(
            metadata=stores.metadata, work=stores.work, store=store, settings=RegistrySettings(**options.registry)
        ),
        store=store,
        files=store if isinstance(store, FilesystemBlobStore) else None,
        authenticator=authenticator,
        authorizer=authorizer,
        challenge=BearerChallenge() if options.signed_in else BasicChallenge("Registry Realm"),
        settings=settings,
        proxies=Proxies(settings),
        metrics=RequestMetrics(metrics),
        access_log=AccessLog(enabled=False),
        sessions=gate if options.signed_in else None,
        second_factors=SecondFactors(stores.metadata, vault, Throttle()) if options.signed_in else None,
        security_keys=(
            SecurityKeys(stores.metadata, stores.work, vault, PlainPasswords(stores)) if options.signed_in else None
        ),
        rates=RateLimits(Rates(options.rates, DatabaseCounts(stores.work)), settings.prefix) if options.rates else None,
        upload_limits=UploadLimits(Places(options.at_once, stores.work)),
    )
    services = replace(services, **options.services)
    passwords = PlainPasswords(stores)
    reset_page = ResetPage(gate, lambda: UserPasswords(stores.metadata, authorizer, str, passwords))
    routes = {**session_routes(gate, passwords), **reset_page.routes()} if options.signed_in else {}
    return App(
        folder=folder,
        stores=stores,
        store=store,
        services=services,
        application=Application(services, routes, _api(folder, stores, policy, services)),
        tokens=tokens,
        metrics=metrics,
        clock=clock,
    )
