"""From the configuration to the parts that decide who may.

`prepare_access` makes what must exist before the first request, once for a start and safely for two starts at the same
instant; `build_access` builds what each web process needs. Four worlds:

    configuration            who                                 how a client signs in
    none, or auth.accounts   accounts, a directory's people      our tokens at /token, or Basic
    auth.htpasswd            the names of a file                 Basic
    auth.token               whom another service's token names  that service's tokens
    no auth, or auth.none    everybody                           not at all
    auth.silly               whoever sends any credentials       anything
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from entrepot.access.admin_account import VARIABLE, ensure_admin
from entrepot.access.api_key_sign_in import KeySignIn
from entrepot.access.api_key_uses import KeyUses
from entrepot.access.authenticator import (
    Authenticator,
    CredentialAuthenticator,
    OpenAuthenticator,
    PasswordVerifier,
    SillyAuthenticator,
)
from entrepot.access.authorizer import Authorizer
from entrepot.access.challenge import BasicChallenge, BearerChallenge, Challenge, SillyChallenge
from entrepot.access.compatibility import ensure_compatibility
from entrepot.access.durations import SetSpan
from entrepot.access.errors import SetupError
from entrepot.access.model import Audience
from entrepot.access.passwords.guarded_passwords import GuardedPasswords
from entrepot.access.passwords.password_cache import NoVerdicts, SharedVerdicts, Verdicts
from entrepot.access.passwords.throttle import Throttle
from entrepot.access.policy import FOLLOWED_MAX_AGE, MAX_AGE, Policy
from entrepot.access.roles import ensure_roles
from entrepot.access.second_factor.password_alone import ProvenPasswords, SecondFactorPasswords
from entrepot.access.second_factor.required_factor import RequiredFactor
from entrepot.access.second_factor.second_factors import SecondFactors
from entrepot.access.second_factor.security_key_sign_in import Assertions
from entrepot.access.second_factor.security_keys import SecurityKeys
from entrepot.access.sign_in import Chain
from entrepot.access.tokens.account_tokens import WholeTokenSignIn
from entrepot.access.tokens.jwt import sign
from entrepot.access.tokens.keyless_sign_in import Federation
from entrepot.access.tokens.own_tokens import OwnTokenChecker, RememberedTokens, TokenService
from entrepot.access.tokens.refresh import RefreshTokens
from entrepot.access.tokens.signing_keys import SigningKeys, load_or_create, load_or_create_sealed
from entrepot.access.tokens.token_requests import TokenDesk
from entrepot.accounts.directory.model import DirectorySource
from entrepot.accounts.directory.sign_in import DirectoryPasswords
from entrepot.accounts.passwords import PasswordRule
from entrepot.adapters.identity import htpasswd
from entrepot.adapters.identity.accounts import LocalAccounts, PasswordRenewal, hash_password
from entrepot.adapters.identity.foreign_tokens import ForeignTokens
from entrepot.adapters.identity.ldap.source import directory_source
from entrepot.adapters.identity.trusted_keys import load_trusted_keys
from entrepot.audit.sign_ins import (
    RecordedAssertions,
    RecordedExchange,
    RecordedKeys,
    RecordedPasswords,
    RecordedRefresh,
    SignInLog,
)
from entrepot.config.schema.auth import Htpasswd, Silly, TokenAuth
from entrepot.config.schema.config import Config
from entrepot.metadata.database import Database
from entrepot.metadata.opening import Stores
from entrepot.outbound.client import Client
from entrepot.outbound.settings import OutboundSettings
from entrepot.system.configuration import Configuration
from entrepot.system.from_config import fixed_values
from entrepot.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the web layer needs to know who may."""

    authenticator: Authenticator
    authorizer: Authorizer
    policy: Policy
    challenge: Challenge
    desk: TokenDesk | None = None  #: the token endpoint; None where another service has it
    people: PasswordVerifier | None = None  #: who may sign in with a browser; None where there are no accounts
    local_passwords: PasswordVerifier | None = (
        None  #: compares passwords of accounts here and nothing else; as `people`
    )
    second_factors: SecondFactors | None = None  #: as `people`
    security_keys: SecurityKeys | None = None  #: as `people`
    assertions: RecordedAssertions | None = None  #: as `people`
    directory: DirectorySource | None = None  #: as `people`
    background: Sequence[Callable[[], Awaitable[None]]] = ()  #: what runs beside the requests, until it is cancelled


async def prepare_access(config: Config, database: Database, vault: Vault, environ: Mapping[str, str]) -> list[str]:
    """Make the first account, the keys, the file of users and the grants that the configuration asks for.

    Returns:
        Notices for the operator, each to be printed once: they hold first passwords and belong in no log but the
        console's.

    Raises:
        SetupError: A file cannot be used; the message says what to do.
    """
    auth = config.auth
    await ensure_roles(database)
    await ensure_compatibility(database, _audience(config))
    if auth.htpasswd is not None:
        return _noticed(htpasswd.ensure_file(Path(auth.htpasswd.path)))
    if auth.token is not None or auth.silly is not None or config.open_registry:
        return []
    await _signing_keys(config, database, vault)
    rule, folder = PasswordRule.of(config.access.passwords), secrets_folder(config)
    return _noticed(await ensure_admin(database, folder, hash_password, environ.get(VARIABLE, ""), rule.checked))


async def build_access(config: Config, stores: Stores, vault: Vault, shared: Path | None = None) -> Access:
    """Build the parts for one process; where nodes share the database, its policy has to be told of changes.

    Args:
        config: What is configured.
        stores: The databases.
        vault: Opens secrets.
        shared: A private folder in memory that all web processes of this `serve` have; None for a process by itself.

    Raises:
        SetupError: A file cannot be used; the message says what to do.
    """
    policy = Policy(stores.metadata, max_age=FOLLOWED_MAX_AGE if config.on_server else MAX_AGE)
    auth = config.auth
    if auth.htpasswd is not None:
        return _with_htpasswd(auth.htpasswd, stores, policy, _verdicts(stores, shared))
    if auth.token is not None:
        return _with_foreign_tokens(auth.token, policy)
    if auth.silly is not None:
        return _silly(auth.silly, policy)
    if config.open_registry:
        return _open(policy)
    keys = await _signing_keys(config, stores.metadata, vault)
    return _with_accounts(config, stores, vault, keys, policy, _verdicts(stores, shared))


async def head_signer(config: Config, database: Database, vault: Vault) -> Callable[[str], str]:
    """Return what signs the head of the audit log: with the key that signs tokens."""
    key = (await _signing_keys(config, database, vault)).current
    return lambda head: sign({"head": head}, key.key, key.id, key.algorithm)


def _verdicts(stores: Stores, shared: Path | None) -> Verdicts:
    return NoVerdicts() if shared is None else SharedVerdicts(stores.work, shared)


def _audience(config: Config) -> Audience | None:
    if config.open_registry:
        return Audience.ANYONE
    return None if config.has_accounts else Audience.AUTHENTICATED


def _noticed(notice: str | None) -> list[str]:
    return [] if notice is None else [notice]


def secrets_folder(config: Config) -> Path | None:
    """Say where secrets of the whole registry lie as files; None where all are in a database that nodes share."""
    return None if config.on_server else config.state


async def _signing_keys(config: Config, database: Database, vault: Vault) -> SigningKeys:
    folder, algorithm = secrets_folder(config), config.access.token.algorithm
    if folder is None:
        return await load_or_create_sealed(database, vault, algorithm)
    return load_or_create(folder / "keys", algorithm)


def _with_accounts(
    config: Config, stores: Stores, vault: Vault, keys: SigningKeys, policy: Policy, verdicts: Verdicts
) -> Access:
    """Put together who signs in where there are accounts, and what wraps what.

    A password is tried by those who can say at once whether it is theirs, the one that hashes last::

        recorded ─► second factor ─► chain: API key ─► our token ─► outside token ─► directory ─► local account
        sign_ins    by_password      ways                                                         local: throttle, hash

    The second factor stands around all ways, so that none of them lets in somebody who owes one; what is written down
    stands around that, so that a password that was right and did not suffice is seen. `proven` takes the same way and
    asks for the factor whatever the account's grants are: for browsers and the token endpoint, which can ask for it.
    Tokens and keys that come as Bearer skip the chain: they were given to somebody who had signed in.
    """
    wanted, database = config.access.token, stores.metadata
    throttle = Throttle.shared(stores.work)
    factors = SecondFactors(database, vault, throttle, turn=verdicts.turn)
    required = RequiredFactor(factors).lacks if config.access.secondfactor.administrators else None
    authorizer = Authorizer(policy, required)
    uses = KeyUses(database)
    keys_of_accounts = KeySignIn(database, policy, uses)
    sign_ins = SignInLog(database)
    federation = Federation(database, Client(OutboundSettings.from_config(config.outbound)))
    checker = OwnTokenChecker(keys, issuer=wanted.issuer, service=wanted.service)
    tokens = RememberedTokens(checker, policy)
    configuration = Configuration(database, vault, fixed_values(config))
    source = directory_source(config.access.ldap, configuration)
    directory = DirectoryPasswords(database, source, throttle)
    renew = PasswordRenewal(database)
    local = GuardedPasswords(LocalAccounts(database), throttle, verdicts=verdicts, renew=renew)
    ways = Chain((keys_of_accounts, WholeTokenSignIn(checker, tokens), federation, directory), local)
    by_password = SecondFactorPasswords(ways, factors, authorizer.is_unproven)
    passwords = RecordedPasswords(by_password, sign_ins)
    proven = RecordedPasswords(ProvenPasswords(by_password), sign_ins)
    life = _life_of_tokens(config, configuration)
    service = TokenService(
        keys,
        authorizer,
        issuer=wanted.issuer,
        service=wanted.service,
        lifetime=int(wanted.expiration),
        span=life,
    )
    by_key = RecordedKeys(keys_of_accounts, sign_ins)
    authenticator = CredentialAuthenticator(passwords=passwords, tokens=tokens, keys=by_key)
    refresh = RefreshTokens(database, authorizer, lifetime=wanted.refreshexpiration, handed_out=wanted.refresh)
    return Access(
        authenticator=authenticator,
        authorizer=authorizer,
        policy=policy,
        challenge=BearerChallenge(service=wanted.service),
        desk=TokenDesk(
            CredentialAuthenticator(passwords=proven, tokens=tokens, keys=by_key),
            proven,
            service,
            RecordedRefresh(refresh, sign_ins),
            RecordedExchange(federation, sign_ins),
            exchange_lifetime=int(wanted.exchangeexpiration),
        ),
        people=proven,
        local_passwords=local,
        second_factors=factors,
        security_keys=SecurityKeys(database, stores.work, vault, ways),
        assertions=RecordedAssertions(Assertions(database, stores.work, throttle), sign_ins),
        directory=source,
        background=(uses.run, sign_ins.run, *([life.run] if life else [])),
    )


def _life_of_tokens(config: Config, configuration: Configuration) -> SetSpan | None:
    """Return what an administrator may change; None where the configuration says how long they live."""
    wanted = config.access.token
    if "expiration" in wanted.model_fields_set:
        return None
    return SetSpan(functools.partial(configuration.get, "token_expiration"), wanted.expiration)


def _with_htpasswd(section: Htpasswd, stores: Stores, policy: Policy, verdicts: Verdicts) -> Access:
    sign_ins = SignInLog(stores.metadata)
    file = htpasswd.HtpasswdFile(Path(section.path))
    users = GuardedPasswords(file, Throttle.shared(stores.work), verdicts=verdicts)
    passwords = RecordedPasswords(users, sign_ins)
    return Access(
        authenticator=CredentialAuthenticator(passwords=passwords),
        authorizer=Authorizer(policy),
        policy=policy,
        challenge=BasicChallenge(section.realm),
        background=(sign_ins.run,),
    )


def _with_foreign_tokens(section: TokenAuth, policy: Policy) -> Access:
    if not section.realm and not section.autoredirect:
        raise SetupError("auth.token.realm is missing: name the URL where clients get their tokens")
    keys = load_trusted_keys(bundle=section.rootcertbundle, jwks=section.jwks)
    checker = ForeignTokens(keys, issuer=section.issuer, service=section.service, algorithms=section.signingalgorithms)
    redirect = section.autoredirectpath if section.autoredirect else None
    return Access(
        authenticator=CredentialAuthenticator(tokens=RememberedTokens(checker, policy)),
        authorizer=Authorizer(policy),
        policy=policy,
        challenge=BearerChallenge(realm=section.realm, service=section.service, autoredirect_path=redirect),
    )


def _silly(section: Silly, policy: Policy) -> Access:
    return Access(
        authenticator=SillyAuthenticator(),
        authorizer=Authorizer(policy),
        policy=policy,
        challenge=SillyChallenge(section.realm, section.service),
    )


def _open(policy: Policy) -> Access:
    return Access(
        authenticator=OpenAuthenticator(),
        authorizer=Authorizer(policy),
        policy=policy,
        # Seen only where somebody removed the grant to everybody: HTTP asks for a challenge with every 401.
        challenge=BasicChallenge("entrepot"),
    )
