"""Refuses requests that come too often (429) before anything is done for them, and counts bytes when they are over."""

from __future__ import annotations

from entrepot.web.http import Request
from entrepot.web.middleware import Endpoint
from entrepot.web.rates import RateLimits
from entrepot.web.responses import Send


def with_rate_limits(inner: Endpoint, limits: RateLimits | None) -> Endpoint:
    """Count requests by their address."""
    if limits is None:
        return inner

    async def limited(request: Request, send: Send) -> None:
        if limits.concerns(request):
            await limits.by_address(request)
        await inner(request, send)

    return limited


def with_bytes_counted(inner: Endpoint, limits: RateLimits | None) -> Endpoint:
    """Count the bytes of each request, where anybody's are limited, however it ends."""
    if limits is None or not limits.counts_bytes:
        return inner

    async def counted(request: Request, send: Send) -> None:
        try:
            await inner(request, send)
        finally:
            limits.over(request)

    return counted
