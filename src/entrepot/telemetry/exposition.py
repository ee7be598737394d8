"""Metrics as Prometheus reads them: our names, and registry:2's names derived from the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from entrepot.telemetry.instruments import Family, Labels
from entrepot.telemetry.metrics import IN_FLIGHT, REQUEST_BYTES, REQUEST_SECONDS, RESPONSE_BYTES

#: registry:2's handlers; it has no metrics for anything else.
HANDLERS: Final = frozenset({"base", "manifest", "tags", "blob", "blob_upload", "blob_upload_chunk", "catalog"})

Source = Callable[[], Iterable[Family]]


class FamilyCollector(Collector):
    """Turns families into what prometheus-client renders."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Give every family, then those under registry:2's names."""
        families = list(self._source())
        for family in families:
            yield _RENDER[family.kind](family)
        for family in registry2_families(families):
            yield _RENDER[family.kind](family)


def render(source: Source, accept: str) -> tuple[bytes, str]:
    """Render all metrics; returns the text and its content type, as the Accept header asks."""
    registry = CollectorRegistry()
    registry.register(FamilyCollector(source))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def registry2_families(families: Iterable[Family]) -> Iterator[Family]:
    """Derive registry:2's HTTP metrics from ours."""
    by_name = {family.name: family for family in families}
    if seconds := by_name.get(REQUEST_SECONDS):
        yield _requests_total(seconds)
        yield _regrouped(
            seconds,
            "registry_http_request_duration_seconds",
            "The HTTP request latencies in seconds.",
            ("handler", "method"),
            _handler_and_method,
        )
    if received := by_name.get(REQUEST_BYTES):
        yield _regrouped(
            received, "registry_http_request_size_bytes", "The HTTP request sizes in bytes.", ("handler",), _handler
        )
    if sent := by_name.get(RESPONSE_BYTES):
        yield _regrouped(
            sent, "registry_http_response_size_bytes", "The HTTP response sizes in bytes.", ("handler",), _handler
        )
    if in_flight := by_name.get(IN_FLIGHT):
        name = "registry_http_in_flight_requests"
        yield _regrouped(in_flight, name, "The in-flight HTTP requests.", ("handler",), _handler)


def _handler(labels: Labels) -> Labels:
    return labels[:1]


def _handler_and_method(labels: Labels) -> Labels:
    return labels[0], labels[1].lower()


def _requests_total(seconds: Family) -> Family:
    total = Family(
        kind="counter",
        name="registry_http_requests_total",
        help="Total number of HTTP requests made.",
        label_names=("handler", "method", "code"),
    )
    for (route, method, status), numbers in seconds.series.items():
        if route in HANDLERS:
            total.series[(route, method.lower(), status)] = [sum(numbers[:-1])]
    return total


def _regrouped(family: Family, name: str, text: str, names: Labels, key: Callable[[Labels], Labels]) -> Family:
    result = Family(kind=family.kind, name=name, help=text, label_names=names, bounds=family.bounds)
    for labels, numbers in family.series.items():
        if labels[0] in HANDLERS:
            part = Family(kind=family.kind, name=name, help=text, label_names=names, series={key(labels): numbers})
            result.add(part)
    return result


def _counter(family: Family) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.label_names)
    for labels, numbers in family.series.items():
        metric.add_metric(labels, numbers[0])
    return metric


def _gauge(family: Family) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.label_names)
    for labels, numbers in family.series.items():
        metric.add_metric(labels, numbers[0])
    return metric


def _histogram(family: Family) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.label_names)
    edges = [*(f"{bound:.15g}" for bound in family.bounds), "+Inf"]
    for labels, numbers in family.series.items():
        buckets = list(zip(edges, accumulate(numbers[:-1]), strict=True))
        metric.add_metric(labels, buckets=buckets, sum_value=numbers[-1])
    return metric


_RENDER: Final = {"counter": _counter, "gauge": _gauge, "histogram": _histogram}
