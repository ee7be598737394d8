"""From the configuration to the settings of the web layer."""

from __future__ import annotations

from entrepot.config import Config
from entrepot.web.body import BodyLimits
from entrepot.web.settings import RequestLimits, WebSettings


def web_settings(config: Config) -> WebSettings:
    """Give the settings of the web layer for a configuration."""
    http, limits = config.http, config.http.limits
    return WebSettings(
        host=http.host,
        prefix=http.prefix,
        relative_urls=http.relativeurls,
        headers=tuple((name, value) for name, values in http.headers.items() for value in values),
        trusted_proxies=http.proxies,
        client_proxies=config.client_proxies,
        limits=RequestLimits(
            headers=limits.headercount,
            header_bytes=limits.headersize,
            uri_bytes=limits.urilength,
            concurrent=limits.requests,
            body=BodyLimits(
                stall_seconds=limits.bodytimeout,
                window_seconds=limits.bodytimeout,
                bytes_per_second=limits.bodyrate,
            ),
        ),
        catalog_max_entries=config.catalog.maxentries,
        tags_max=config.tags.maxtags,
    )
