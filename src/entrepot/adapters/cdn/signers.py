"""Which signer goes with which options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from entrepot.adapters.cdn.akamai import akamai
from entrepot.adapters.cdn.alibaba import alibaba
from entrepot.adapters.cdn.cloudflare import cloudflare
from entrepot.adapters.cdn.cloudfront import cloudfront
from entrepot.adapters.cdn.forms import Signer
from entrepot.adapters.cdn.google import google
from entrepot.adapters.cdn.templates import template
from entrepot.adapters.cdn.tencent import tencent
from entrepot.config.schema import middleware

_SIGNERS: Final[Mapping[type[middleware.Cdn], Callable[[Any, str], Signer]]] = {
    middleware.Akamai: akamai,
    middleware.AlibabaCdn: alibaba,
    middleware.Cloudflare: cloudflare,
    middleware.CloudFront: cloudfront,
    middleware.Fastly: template,
    middleware.GoogleCdn: google,
    middleware.SecureLink: template,
    middleware.SignedUrl: template,
    middleware.TencentCdn: tencent,
}


def signer_for(options: middleware.Cdn, origin: str) -> Signer:
    """Return the signer of a CDN at `origin` (scheme and host).

    Raises:
        OSError: The key's file cannot be read.
        ValueError: The key is none.
    """
    return _SIGNERS[type(options)](options, origin)
