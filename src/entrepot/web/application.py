"""The ASGI application, put together from its services."""

from __future__ import annotations

import time
from collections.abc import Mapping

from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.errors import DatabaseError
from entrepot.telemetry.access_format import RequestRecord
from entrepot.web import health
from entrepot.web.api.mount import LABEL, LazyApi
from entrepot.web.body import Receive
from entrepot.web.distribution import base, blobs, catalog, extensions, manifests, referrers, tags, uploads
from entrepot.web.distribution.namespace import echo_namespace
from entrepot.web.http import Header, Request, Scope
from entrepot.web.middleware import Endpoint, request_id
from entrepot.web.middleware.access_log import with_access_log
from entrepot.web.middleware.errors import with_errors
from entrepot.web.middleware.limits import with_limits
from entrepot.web.middleware.metrics import with_metrics
from entrepot.web.middleware.rate_limits import with_bytes_counted, with_rate_limits
from entrepot.web.middleware.request_id import RequestIds, with_request_id
from entrepot.web.pages import ACCOUNT_PATH, STYLE_PATH
from entrepot.web.response_cache import Answer, ResponseCache
from entrepot.web.responses import NO_STORE, Response, Send
from entrepot.web.router import MethodUnknown, RepositoryRoutes, Route, Router
from entrepot.web.services import Services
from entrepot.web.session.origin import has_https_port
from entrepot.web.settings import WebSettings
from entrepot.web.start_page import start_routes
from entrepot.web.this_host import client_of

_API_VERSION: Header = (b"docker-distribution-api-version", b"registry/2.0")
_NO_SNIFFING: Header = (b"x-content-type-options", b"nosniff")
_OURS_ALONE: Header = (b"cross-origin-resource-policy", b"same-origin")
_HTTPS_ONLY: Header = (b"strict-transport-security", b"max-age=31536000")

#: Labels are registry:2's handler names where it has one, so that its dashboards go on working.
_BASE = Route("base", {"GET": base.get_base, "HEAD": base.get_base})
_FIXED = {
    "/healthz": Route("healthz", {"GET": health.alive, "HEAD": health.alive}),
    "/readyz": Route("readyz", {"GET": health.ready, "HEAD": health.ready}),
    "/v2": _BASE,
    "/v2/": _BASE,
    "/v2/_catalog": Route("catalog", {"GET": catalog.list_repositories, "HEAD": catalog.list_repositories}),
    "/v2/_oci/ext/discover": Route("extensions", {"GET": extensions.discover, "HEAD": extensions.discover}),
}
_REPOSITORY = RepositoryRoutes(
    manifests=Route(
        "manifest",
        {
            "GET": manifests.get_manifest,
            "HEAD": manifests.head_manifest,
            "PUT": manifests.put_manifest,
            "DELETE": manifests.delete_manifest,
        },
    ),
    blobs=Route("blob", {"GET": blobs.get_blob, "HEAD": blobs.head_blob, "DELETE": blobs.delete_blob}),
    uploads=Route("blob_upload", {"POST": uploads.start_upload}),
    upload=Route(
        "blob_upload_chunk",
        {
            "GET": uploads.get_upload,
            "HEAD": uploads.get_upload,
            "PATCH": uploads.append_upload,
            "PUT": uploads.complete_upload,
            "DELETE": uploads.cancel_upload,
        },
    ),
    tags=Route("tags", {"GET": tags.list_tags, "HEAD": tags.list_tags}),
    referrers=Route("referrers", {"GET": referrers.list_referrers, "HEAD": referrers.list_referrers}),
)


class Application:
    """Answers HTTP requests by the ASGI protocol.

    `more_routes` are those of other parts of the web layer, `api` the management API.
    """

    def __init__(
        self, services: Services, more_routes: Mapping[str, Route] | None = None, api: LazyApi | None = None
    ) -> None:
        settings = services.settings
        self._services = services
        self._api = api
        # They come before the API, which has other paths below the same beginnings.
        self._plain = frozenset(
            f"{settings.prefix.rstrip('/')}{path}".encode() for path in (STYLE_PATH, *(more_routes or ()))
        )
        start = start_routes(has_accounts=ACCOUNT_PATH in (more_routes or {}))
        self._router = Router({**_FIXED, **start, **(more_routes or {})}, _REPOSITORY, settings.prefix)
        self._api_path = (settings.prefix.rstrip("/") + "/v2").encode()
        self._api_headers = (_API_VERSION, *_headers(settings, _NO_SNIFFING))
        self._headers = _headers(settings, _NO_SNIFFING, _OURS_ALONE)
        self._https_headers = _headers(settings, _NO_SNIFFING, _OURS_ALONE, _HTTPS_ONLY)
        self._ids = RequestIds()
        self._cache = _response_cache(services)
        self._endpoint = self._surround(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"this application does not speak {scope['type']}")
        asked = None if self._cache is None else self._cache.asked(scope)
        failure = None
        if self._cache is not None and asked is not None and (answer := self._cache.find(asked)) is not None:
            try:
                is_still = asked.moment is not None or await answer.is_still()
            except DatabaseError as error:
                is_still, failure = False, error
            if is_still:
                await self._repeat(answer, send)
                return
        request = Request(scope, receive, self._services.settings.limits.body)
        request.asked, request.failure = asked, failure
        request.client = client_of(request, self._services.proxies)
        request.extra_headers = self._headers_for(request)
        if request.method != "DELETE":
            await self._endpoint(request, send)
            return
        with with_reserve(Reserve.KEPT):  # until it is known that the caller may delete
            await self._endpoint(request, send)

    async def _repeat(self, answer: Answer, send: Send) -> None:
        """Give an answer again, and do what is done for each request."""
        started = time.perf_counter()
        services, exchange = self._services, answer.exchange
        name = self._ids.new()
        headers = [*answer.headers, (request_id.HEADER, name.encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        if answer.rests_on.manifest_id:
            services.count_pull(answer.rests_on.manifest_id)
        seconds = time.perf_counter() - started
        services.metrics.observe(exchange.route, exchange.method, answer.status, seconds, exchange.bytes_out, 0)
        services.access_log.write(RequestRecord(time.time(), seconds, name, exchange))

    def _headers_for(self, request: Request) -> tuple[Header, ...]:
        if request.raw_path.startswith(self._api_path):
            return self._api_headers
        # Browsers would turn to https on all ports of the host: at another one, other services would be out of reach.
        return self._https_headers if has_https_port(request, self._services.proxies) else self._headers

    def _surround(self, settings: WebSettings) -> Endpoint:
        endpoint = with_rate_limits(self._dispatch, self._services.rates)
        endpoint = with_limits(endpoint, settings.limits)
        endpoint = with_errors(endpoint, self._services)
        endpoint = with_bytes_counted(endpoint, self._services.rates)
        endpoint = with_metrics(endpoint, self._services.metrics)
        endpoint = with_access_log(endpoint, self._services.access_log)
        return with_request_id(endpoint, self._ids, self._services.proxies)

    async def _dispatch(self, request: Request, send: Send) -> None:
        if self._api is not None and request.raw_path not in self._plain and self._api.takes(request):
            await self._manage(self._api, request, send)
            return
        route = self._router.route(request)
        handler = route.handlers.get(request.method)
        if handler is None and request.method == "OPTIONS":
            await Response(200, ((b"allow", request.allow), NO_STORE)).send(request, send)
            return
        if handler is None:
            raise MethodUnknown
        if b"ns=" in request.scope["query_string"]:
            echo_namespace(request)
        self._services.metrics.enter(request.route)
        try:
            if request.failure is not None:
                raise request.failure
            response = await handler(request, self._services)
            await response.send(request, send)
            if self._cache is not None and request.asked is not None:
                self._cache.keep(request.asked, request, response)
        finally:
            self._services.metrics.leave(request.route)

    async def _manage(self, api: LazyApi, request: Request, send: Send) -> None:
        self._services.metrics.enter(LABEL)
        try:
            await api(request, send)
        finally:
            self._services.metrics.leave(LABEL)


def _response_cache(services: Services) -> ResponseCache | None:
    """Return a memory of answers, unless more is to be done for each pull than is done for those it gives."""
    if services.pull_log is not None or (services.rates is not None and services.rates.counts_pulls):
        return None
    return ResponseCache(services.registry.lookup.metadata)


def _headers(settings: WebSettings, *ours: Header) -> tuple[Header, ...]:
    """Return the headers of every answer: those of the configuration, and ours where it has none of that name."""
    configured = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in settings.headers]
    names = {name for name, _ in configured}
    return (*configured, *(header for header in ours if header[0] not in names))
