"""Counts each request once, by route, method and status."""

from __future__ import annotations

import time

from entrepot.telemetry.metrics import RequestMetrics
from entrepot.web.http import Request
from entrepot.web.middleware import Endpoint
from entrepot.web.responses import Send


def with_metrics(inner: Endpoint, metrics: RequestMetrics) -> Endpoint:
    """Count what was answered, with its time and bytes."""

    async def counted(request: Request, send: Send) -> None:
        started = time.perf_counter()
        try:
            await inner(request, send)
        finally:
            seconds = time.perf_counter() - started
            metrics.observe(request.route, request.method, request.status, seconds, request.bytes_out, request.bytes_in)

    return counted
