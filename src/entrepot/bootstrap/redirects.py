"""Where clients are sent for blobs: the store's own URLs, changed by what `middleware.storage` names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from entrepot.config.schema.middleware import Cdn, CloudFront, PlainRedirect, Rewrite
from entrepot.config.section import Section
from entrepot.outbound.client import Client
from entrepot.outbound.settings import OutboundSettings
from entrepot.registry.ports import BlobUrls
from entrepot.telemetry.instruments import Metrics

if TYPE_CHECKING:
    from entrepot.bootstrap.storage import Objects
    from entrepot.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirects:
    """Where clients are sent, and what is to run beside it."""

    urls: BlobUrls | None = None
    background: tuple[Callable[[], Awaitable[None]], ...] = field(default=())


def redirects(config: Config, objects: Objects, metrics: Metrics) -> Redirects:
    """Put together what the configuration says; nothing where all bytes pass through the registry.

    Raises:
        OSError: The key of a CDN cannot be read.
        ValueError: It is none.
    """
    active = [entry for entry in config.middleware.storage if not entry.disabled and entry.is_known]
    if config.storage.also.type:
        return Redirects()  # a blob may still lie elsewhere
    if config.storage.redirect.disable or not (active or objects.presigning):
        return Redirects()
    from entrepot.adapters.delivery.networks import Networks  # noqa: PLC0415 - few folders send anybody elsewhere
    from entrepot.adapters.delivery.urls import CountedUrls, PresignedUrls, UrlsByNetwork  # noqa: PLC0415 - as above

    made = Redirects(urls=None if objects.presigning is None else PresignedUrls(objects.presigning))
    for entry in active:
        made = _wrapped(config, made, entry.settings, objects)
    if made.urls is None:
        return made
    sent = metrics.counter("entrepot_redirects", "Requests for blobs that were sent elsewhere.", ("to",))
    to = active[-1].name if active else config.storage.type
    urls: BlobUrls = CountedUrls(made.urls, lambda: sent.inc(to))
    if config.storage.redirect.except_networks:
        urls = UrlsByNetwork(Networks(config.storage.redirect.except_networks).hold, inside=None, outside=urls)
    return replace(made, urls=urls)


def _wrapped(config: Config, inner: Redirects, options: Section, objects: Objects) -> Redirects:
    """Put one middleware around what is there."""
    from entrepot.adapters.delivery.urls import PlainUrls, RewrittenUrls  # noqa: PLC0415 - see above

    if isinstance(options, PlainRedirect):
        return replace(inner, urls=PlainUrls(options.baseurl, objects.path_of))
    if isinstance(options, Rewrite):
        if inner.urls is None:
            return inner
        rewritten = RewrittenUrls(inner.urls, scheme=options.scheme, host=options.host, prefix=options.trimpathprefix)
        return replace(inner, urls=rewritten)
    assert isinstance(options, Cdn)  # there is nothing else
    if isinstance(options, CloudFront) and objects.presigning is None:
        return inner  # as in registry:2, which sends nobody there from another store
    from entrepot.adapters.cdn.urls import cdn_urls  # noqa: PLC0415 - few have a CDN

    urls = cdn_urls(options, objects.name_of)
    if isinstance(options, CloudFront) and options.ipfilteredby.startswith("aws"):
        return _past_amazon(config, inner, options, urls)
    return replace(inner, urls=urls)


def _past_amazon(config: Config, inner: Redirects, options: CloudFront, urls: BlobUrls) -> Redirects:
    """Send Amazon's own machines to what is behind CloudFront."""
    from entrepot.adapters.delivery.aws import AwsNetworks  # noqa: PLC0415 - few have it
    from entrepot.adapters.delivery.urls import UrlsByNetwork  # noqa: PLC0415 - as above

    http = Client(OutboundSettings.from_config(config.outbound).for_named(options.iprangesurl))
    networks = AwsNetworks(http, options.iprangesurl, options.awsregion, options.updatefrequency)
    chosen = UrlsByNetwork(networks.hold, inside=inner.urls, outside=urls)
    return Redirects(urls=chosen, background=(*inner.background, networks.run))
