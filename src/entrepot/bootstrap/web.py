"""What a web worker serves: `/v2/`, tokens, sessions, and the management API once somebody asks for it."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.access.admin_account import forget_first_password
from entrepot.access.durations import SetSpan, always
from entrepot.access.limits.rates import Rates
from entrepot.access.limits.upload_slots import Places
from entrepot.access.web_sessions import Sessions
from entrepot.accounts.keys import Keys
from entrepot.adapters.identity.accounts import hash_password
from entrepot.adapters.identity.setup import Access, build_access, prepare_access, secrets_folder
from entrepot.audit.pulls import PullLog
from entrepot.bootstrap.deployment import Deployment, configuration_of, deployment, in_background, space_of, watching
from entrepot.bootstrap.node import presence_of, problems
from entrepot.bootstrap.redirects import redirects
from entrepot.bootstrap.shared_counts import shared_counts
from entrepot.config import Config
from entrepot.metadata import clock_check
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.outbound.settings import OutboundSettings
from entrepot.projects.contents.pulls import PullCounter
from entrepot.registry.object_looks import ObjectLooks
from entrepot.serving.slow_readers import limit_slow_readers
from entrepot.serving.worker_runtime import WorkerRuntime
from entrepot.system.jobs.traits import JobTraits
from entrepot.telemetry.instruments import Metrics
from entrepot.telemetry.metrics import RequestMetrics
from entrepot.web.account.endpoint import AccountPages, AccountParts
from entrepot.web.api.mount import ApiUse, AsgiApp, LazyApi
from entrepot.web.application import Application
from entrepot.web.from_config import web_settings
from entrepot.web.health import Together
from entrepot.web.login import session_routes
from entrepot.web.oidc.routes import ProviderPages
from entrepot.web.pages import style_route
from entrepot.web.proxies import Proxies
from entrepot.web.rates import RateLimits
from entrepot.web.reset_page import ResetPage
from entrepot.web.router import Route
from entrepot.web.security_keys.page import key_page_routes
from entrepot.web.security_keys.sign_in import KeyStep
from entrepot.web.services import Services
from entrepot.web.session.gate import SessionGate
from entrepot.web.token.endpoint import token_routes
from entrepot.web.upload_limits import UploadLimits

if TYPE_CHECKING:
    from entrepot.accounts.providers.sign_in import ProviderSignIn
    from entrepot.accounts.user_passwords import UserPasswords
    from entrepot.adapters.blobs.cache.disk_cache import DiskCache


@contextlib.asynccontextmanager
async def web(config: Config, runtime: WorkerRuntime) -> AsyncIterator[Application]:
    """Give the ASGI application of one web worker."""
    async with (
        deployment(config, runtime.metrics, for_requests=True) as parts,
        in_background(limit_slow_readers(config.http.limits.bodytimeout)),
        shared_counts(config, parts.stores.work, runtime.metrics) as counts,
    ):
        with with_reserve(Reserve.RELEASED):  # a start on a full disk
            notices = await prepare_access(config, parts.stores.metadata, parts.vault, os.environ)
        for notice in notices:
            runtime.note(notice)
        access = await build_access(config, parts.stores, parts.vault, runtime.folder)
        settings = web_settings(config)
        proxies = Proxies(settings)
        idle = _idle(parts)
        gate = SessionGate(_sessions(parts, idle), proxies, plain_http=config.access.sessions.plainhttp)
        rates = Rates(config.access.limits.rates, counts)
        places = Places(config.access.limits.at_once, parts.stores.work)
        rate_limits = RateLimits(rates, settings.prefix)
        presence = await presence_of(config, parts.stores.work, runtime)
        pulls = PullCounter(parts.stores.metadata, paused=parts.read_only)
        pull_log = PullLog(parts.stores.metadata, paused=parts.read_only) if config.audit.pulls else None
        elsewhere = redirects(config, parts.objects, runtime.metrics)
        looks, cache = _looks(parts), _cache(parts, runtime.metrics)
        services = Services(
            registry=parts.registry,
            store=parts.store,
            files=parts.files,
            urls=elsewhere.urls,
            looks=looks,
            cache=cache,
            authenticator=access.authenticator,
            authorizer=access.authorizer,
            challenge=access.challenge,
            settings=settings,
            proxies=proxies,
            metrics=RequestMetrics(runtime.metrics),
            access_log=runtime.access_log,
            readiness=functools.partial(problems, runtime, presence),
            warnings=Together(functools.partial(_warnings, parts)),
            sessions=gate if access.people else None,
            second_factors=access.second_factors,
            security_keys=access.security_keys,
            rates=rate_limits,
            upload_limits=UploadLimits(places),
            count_pull=pulls.note,
            pull_log=pull_log,
        )
        async with contextlib.AsyncExitStack() as stack:
            if cache is not None:
                stack.push_async_callback(cache.close)
            more = [*([idle.run] if idle and access.people else []), *([pull_log.run] if pull_log else [])]
            more += [] if looks is None else [looks.run]
            more += [*([places.run] if places.any else []), *([rate_limits.run] if rate_limits.counts_bytes else [])]
            await stack.enter_async_context(in_background(watching(parts, rights=access.policy.reread)))
            for work in (
                *more,
                presence.run,
                pulls.run,
                rates.run,
                parts.registry.verifying.run,
                *access.background,
                *elsewhere.background,
            ):
                await stack.enter_async_context(in_background(work()))
            build = functools.partial(management, parts, access, services)
            api = LazyApi(build, prefix=settings.prefix, use=_api_use(config))
            await stack.enter_async_context(in_background(api.prepare()))
            yield Application(services, _plain_routes(parts, access, gate), api)


def _cache(parts: Deployment, metrics: Metrics) -> DiskCache | None:
    """Keep blobs of an object store on a disk of this node, where one is named.

    Raises:
        OSError: The folder cannot be made.
    """
    wanted = parts.config.storage.cache.disk
    if parts.files is not None or not wanted.rootdirectory:
        return None
    from entrepot.adapters.blobs.cache.disk_cache import DiskCache  # noqa: PLC0415 - few have one

    asked = metrics.counter("entrepot_cache_requests", "Requests for blobs to a cache.", ("cache", "hit"))
    return DiskCache(
        Path(wanted.rootdirectory),
        wanted.maxsize,
        store=parts.store,
        quarantine=parts.registry.verifying.quarantine,
        count=lambda outcome: asked.inc("disk", outcome),
    )


def _looks(parts: Deployment) -> ObjectLooks | None:
    """Look at objects now and then; every pull looks at its file."""
    if parts.files is not None:
        return None
    return ObjectLooks(
        metadata=parts.stores.metadata,
        store=parts.store,
        quarantine=parts.registry.verifying.quarantine,
        every=parts.config.integrity.look,
    )


def _api_use(config: Config) -> ApiUse:
    return ApiUse(config.state / "api-used" if config.has_state else None)


def _plain_routes(parts: Deployment, access: Access, gate: SessionGate) -> Mapping[str, Route]:
    """List the routes that are none of the registry's and none of the management API's."""
    tokens = token_routes(access.desk) if access.desk else {}
    if access.people is None:
        return tokens
    section = parts.config.access
    pages = ProviderPages(gate, functools.partial(_provider_sign_in, parts, gate.sessions))
    if section.has_providers:
        pages.prepare()
    account = AccountPages(_account_parts(parts, access, gate, pages))
    return {
        **tokens,
        **session_routes(gate, access.people, pages.farewell, _key_step(access, gate)),
        **key_page_routes(),
        **style_route(),
        **account.routes(),
        **pages.routes(provider.name for provider in section.providers),
        **ResetPage(gate, functools.partial(_user_passwords, parts, access)).routes(),
    }


def _account_parts(parts: Deployment, access: Access, gate: SessionGate, pages: ProviderPages) -> AccountParts:
    assert access.people is not None  # there are accounts
    assert access.second_factors is not None
    assert access.security_keys is not None
    return AccountParts(
        gate=gate,
        passwords=access.people,
        metadata=parts.stores.metadata,
        keys=Keys(parts.stores.metadata, access.authorizer),
        factors=access.second_factors,
        security_keys=access.security_keys,
        passwords_of_people=functools.partial(_user_passwords, parts, access),
        authorizer=access.authorizer,
        choices=pages.choices,
    )


def _key_step(access: Access, gate: SessionGate) -> KeyStep:
    assert access.assertions is not None  # there are accounts
    return KeyStep(gate, access.assertions)


def _user_passwords(parts: Deployment, access: Access) -> UserPasswords:
    from entrepot.accounts.passwords import PasswordRule  # noqa: PLC0415 - few ever need a link
    from entrepot.accounts.user_passwords import UserPasswords  # noqa: PLC0415 - as above

    old = access.local_passwords
    assert old is not None  # else there is no page
    changed = functools.partial(forget_first_password, secrets_folder(parts.config))
    rule = PasswordRule.of(parts.config.access.passwords)
    return UserPasswords(parts.stores.metadata, access.authorizer, hash_password, old, changed=changed, rule=rule)


def _provider_sign_in(parts: Deployment, sessions: Sessions) -> ProviderSignIn:
    from entrepot.adapters.identity.oidc.setup import build_sign_in  # noqa: PLC0415 - many have no provider
    from entrepot.adapters.identity.oidc.source import provider_source  # noqa: PLC0415 - as above

    source = provider_source(parts.config, configuration_of(parts))
    return build_sign_in(source, parts.stores, parts.vault, sessions)


async def _warnings(parts: Deployment) -> dict[str, str]:
    """Say what people should know of a registry that serves: that it removes nothing, or lacks its object store.

    Without that, all but blobs is served, and a balancer that turned away from all nodes for it would serve nothing.
    """
    verdict = (await clock_check.look(parts.stores.metadata))[2]
    found = {"clock": "in doubt; nothing is removed for its age"} if verdict.ahead else {}
    return found | ({"storage": "degraded: the object store does not answer"} if parts.objects.is_failing() else {})


def _idle(parts: Deployment) -> SetSpan | None:
    """Return what an administrator may change; None where the configuration says when unused sessions end."""
    wanted = parts.config.access.sessions
    if "idle" in wanted.model_fields_set:
        return None
    return SetSpan(functools.partial(configuration_of(parts).get, "session_timeout"), wanted.idle)


def _sessions(parts: Deployment, idle: SetSpan | None) -> Sessions:
    wanted = parts.config.access.sessions
    span = idle or always(wanted.idle)
    return Sessions(parts.stores.metadata, parts.stores.work, idle=span, absolute=wanted.absolute)


def management(parts: Deployment, access: Access, services: Services) -> AsgiApp:
    """Build the management API; imported when the first request comes, for FastAPI takes half a second."""
    from entrepot.accounts.passwords import PasswordRule  # noqa: PLC0415 - see above
    from entrepot.web.api.app import build_api  # noqa: PLC0415 - as above
    from entrepot.web.api.composition import Parts, build_services  # noqa: PLC0415 - as above

    return build_api(
        build_services(
            Parts(
                web=services,
                metadata=parts.stores.metadata,
                work=parts.stores.work,
                policy=access.policy,
                configuration=configuration_of(parts),
                directory=access.directory,
                try_issuer=functools.partial(_try_issuer, parts.config),
                volume=functools.partial(space_of, parts),
                hash_password=hash_password,
                job_kinds=functools.partial(_job_kinds, parts),
                local_passwords=access.local_passwords,
                password_changed=functools.partial(forget_first_password, secrets_folder(parts.config)),
                password_rule=PasswordRule.of(parts.config.access.passwords),
            )
        )
    )


async def _try_issuer(config: Config, issuer: str, ca: str) -> None:
    from entrepot.adapters.identity.oidc.source import try_issuer  # noqa: PLC0415 - many have no provider

    own = next((section.ca for section in config.access.oidc if section.issuer == issuer), "")
    await try_issuer(OutboundSettings.from_config(config.outbound).with_ca(own), issuer, ca)


def _job_kinds(parts: Deployment) -> list[JobTraits]:
    from entrepot.bootstrap.job_worker import job_kinds  # noqa: PLC0415 - few web workers are ever asked for them

    return [kind.traits for kind in job_kinds(parts, Metrics())]
