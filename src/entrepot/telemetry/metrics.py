"""Counting requests: by route, method and status, with latency, bytes and what is in flight.

This is done once, in the middleware, never in handlers. Our own names are `entrepot_http_…`; registry:2's names
(`registry_http_…`) are derived from the same numbers when they are shown (`exposition`), so they cost nothing here.
Route names are registry:2's handler names where it has one: `base`, `manifest`, `tags`, `blob`, `blob_upload`,
`blob_upload_chunk`, `catalog`.
"""

from __future__ import annotations

from typing import Final

from entrepot.telemetry.instruments import BYTES_BOUNDS, SECONDS_BOUNDS, Gauge, Metrics, count

REQUEST_SECONDS: Final = "entrepot_http_request_seconds"
REQUEST_BYTES: Final = "entrepot_http_request_bytes"
RESPONSE_BYTES: Final = "entrepot_http_response_bytes"
IN_FLIGHT: Final = "entrepot_http_in_flight_requests"

#: Anything else a client invents is counted as "other": a label must not grow without bound.
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Counts the requests of one process."""

    def __init__(self, metrics: Metrics) -> None:
        by_request = ("route", "method", "status")
        self._seconds = metrics.histogram(REQUEST_SECONDS, "Time from request to end of answer.", by_request)
        self._received = metrics.histogram(REQUEST_BYTES, "Bytes of request bodies.", by_request, BYTES_BOUNDS)
        self._sent = metrics.histogram(RESPONSE_BYTES, "Bytes of response bodies.", by_request, BYTES_BOUNDS)
        self._in_flight: Gauge = metrics.gauge(IN_FLIGHT, "Requests being answered now.", ("route",))
        self._series: dict[tuple[str, str, int], tuple[list[float], list[float], list[float]]] = {}

    def enter(self, route: str) -> None:
        """Say that a request of this route begins to be answered."""
        self._in_flight.add(1, route)

    def leave(self, route: str) -> None:
        """Say that a request of this route is no longer being answered."""
        self._in_flight.add(-1, route)

    def observe(self, route: str, method: str, status: int, seconds: float, bytes_out: int, bytes_in: int) -> None:
        """Count one answered request."""
        series = self._series.get((route, method, status))
        if series is None:
            series = self._make_series(route, method, status)
        count(series[0], SECONDS_BOUNDS, seconds)
        count(series[1], BYTES_BOUNDS, bytes_out)
        count(series[2], BYTES_BOUNDS, bytes_in)

    def _make_series(self, route: str, method: str, status: int) -> tuple[list[float], list[float], list[float]]:
        known = method if method in METHODS else "other"
        labels = (route, known, str(status))
        series = (self._seconds.series(*labels), self._sent.series(*labels), self._received.series(*labels))
        if known == method:
            self._series[(route, method, status)] = series
        return series
