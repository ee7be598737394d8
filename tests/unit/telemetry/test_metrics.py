"""Counting requests, sharing the counts between processes, showing them under both names."""

import multiprocessing
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from entrepot.telemetry import instruments
from entrepot.telemetry.exposition import render
from entrepot.telemetry.health_flag import HealthFlag
from entrepot.telemetry.instruments import Family, Metrics
from entrepot.telemetry.metrics import RequestMetrics
from entrepot.telemetry.snapshots import MetricsSlot, collect


def samples(families: list[Family]) -> dict[str, float]:
    """Render families, read them with Prometheus's own parser; gives `name{labels}` to value."""
    body, _ = render(lambda: families, "")
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def count_requests(metrics: Metrics, times: int = 1) -> RequestMetrics:
    """Count some pulls of a manifest."""
    requests = RequestMetrics(metrics)
    for _ in range(times):
        requests.enter("manifest")
        requests.observe("manifest", "GET", 200, seconds=0.02, bytes_out=1500, bytes_in=0)
        requests.leave("manifest")
    return requests


def test_requests_are_shown_under_our_names_and_registry2s() -> None:
    """Counts, latency and bytes are there by route, method and status, and as registry:2 calls them."""
    metrics = Metrics()
    count_requests(metrics, 3)
    shown = samples(metrics.families())
    assert shown["entrepot_http_request_seconds_count method=GET route=manifest status=200"] == 3
    assert shown["entrepot_http_response_bytes_sum method=GET route=manifest status=200"] == 4500
    assert shown["registry_http_requests_total code=200 handler=manifest method=get"] == 3
    assert shown["registry_http_request_duration_seconds_bucket handler=manifest le=0.025 method=get"] == 3
    assert shown["registry_http_request_duration_seconds_bucket handler=manifest le=0.01 method=get"] == 0
    assert shown["registry_http_request_duration_seconds_sum handler=manifest method=get"] == pytest.approx(0.06)
    assert shown["registry_http_response_size_bytes_bucket handler=manifest le=2048"] == 3
    assert shown["registry_http_request_size_bytes_count handler=manifest"] == 3
    assert shown["registry_http_in_flight_requests handler=manifest"] == 0


def test_registry2_sums_over_what_it_does_not_tell_apart() -> None:
    """Its latency has no status label and its sizes no method: series are added up."""
    metrics = Metrics()
    requests = count_requests(metrics)
    requests.observe("manifest", "GET", 404, seconds=0.001, bytes_out=90, bytes_in=0)
    requests.observe("manifest", "PUT", 201, seconds=0.001, bytes_out=0, bytes_in=700)
    shown = samples(metrics.families())
    assert shown["registry_http_request_duration_seconds_count handler=manifest method=get"] == 2
    assert shown["registry_http_response_size_bytes_count handler=manifest"] == 3


def test_only_registry2s_handlers_have_its_names() -> None:
    """Routes that registry:2 lacks are shown under our names alone."""
    metrics = Metrics()
    RequestMetrics(metrics).observe("referrers", "GET", 200, seconds=0.001, bytes_out=1, bytes_in=0)
    shown = samples(metrics.families())
    assert "entrepot_http_request_seconds_count method=GET route=referrers status=200" in shown
    assert not [name for name in shown if name.startswith("registry_") and "referrers" in name]


def test_invented_methods_make_no_new_series() -> None:
    """Whatever method a client sends, the number of series stays bounded."""
    metrics = Metrics()
    requests = RequestMetrics(metrics)
    for number in range(100):
        requests.observe("base", f"METHOD{number}", 405, seconds=0.001, bytes_out=0, bytes_in=0)
    shown = samples(metrics.families())
    assert shown["entrepot_http_request_seconds_count method=other route=base status=405"] == 100


@pytest.mark.parametrize(("value", "bucket"), [(0.0, 0), (0.005, 0), (0.0051, 1), (60.0, 12), (61.0, 13)])
def test_a_bucket_holds_its_upper_edge(value: float, bucket: int) -> None:
    """A value equal to a bound counts below it; above all bounds it counts as +Inf."""
    metrics = Metrics()
    histogram = metrics.histogram("h", "text")
    histogram.observe(value)
    assert histogram.series()[bucket] == 1
    assert sum(histogram.series()[:-1]) == 1


def test_processes_are_added_up(tmp_path: Path) -> None:
    """Two live processes: counters and gauges are the sums."""
    slots = []
    for in_flight in (2, 3):
        metrics = Metrics()
        count_requests(metrics, 5)
        metrics.gauge("g", "text").set(in_flight)
        slots.append(MetricsSlot(tmp_path, "web", metrics))
    for slot in slots:
        slot.publish()
    shown = samples(collect(tmp_path))
    assert shown["registry_http_requests_total code=200 handler=manifest method=get"] == 10
    assert shown["g"] == 5
    for slot in slots:
        slot.close()


def _count_and_die(folder: Path) -> None:
    metrics = Metrics()
    slot = MetricsSlot(folder, "web", metrics)
    count_requests(metrics, 5)
    metrics.gauge("g", "text").set(7)
    slot.publish()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_keeps_its_counts_and_loses_its_gauges(tmp_path: Path) -> None:
    """After kill -9 its counters stay, its gauges are gone, and the next process goes on counting in its place."""
    process = multiprocessing.get_context("spawn").Process(target=_count_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -9
    shown = samples(collect(tmp_path))
    assert shown["registry_http_requests_total code=200 handler=manifest method=get"] == 5
    assert "g" not in shown
    metrics = Metrics()
    slot = MetricsSlot(tmp_path, "web", metrics)
    count_requests(metrics, 2)
    slot.close()
    assert samples(collect(tmp_path))["registry_http_requests_total code=200 handler=manifest method=get"] == 7
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_folder_that_was_made_again_gets_the_numbers_again(tmp_path: Path) -> None:
    """A process that was there before takes a slot of its own in it; while there is no folder it only counts."""
    folder, slots = tmp_path / "metrics", []
    folder.mkdir()
    for gauge in (2, 3):
        metrics = Metrics()
        count_requests(metrics, 5)
        metrics.gauge("g", "text").set(gauge)
        slots.append(MetricsSlot(folder, "web", metrics))
        slots[-1].publish()
    shutil.rmtree(folder)
    slots[0].publish()
    folder.mkdir()
    for slot in reversed(slots):
        slot.publish()
    shown = samples(collect(folder))
    assert shown["registry_http_requests_total code=200 handler=manifest method=get"] == 10
    assert shown["g"] == 5
    for slot in slots:
        slot.close()


def test_a_torn_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """What cannot be read counts nothing."""
    metrics = Metrics()
    count_requests(metrics)
    MetricsSlot(tmp_path, "web", metrics).close()
    (tmp_path / "job-0.json").write_text('[{"kind"')
    assert samples(collect(tmp_path))["registry_http_requests_total code=200 handler=manifest method=get"] == 1


def test_openmetrics_for_who_asks() -> None:
    """The content type follows the Accept header."""
    body, content_type = render(list, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_the_health_flag_says_what_is_wrong_and_goes(tmp_path: Path) -> None:
    """Workers read what the supervisor wrote; nothing written means well."""
    flag = HealthFlag(tmp_path / "unhealthy.json")
    assert flag.problems() == {}
    flag.write({"storage": "full"})
    assert HealthFlag(tmp_path / "unhealthy.json").problems() == {"storage": "full"}
    flag.write({})
    assert flag.problems() == {}
    flag.write({})


def test_no_gauge_has_the_suffix_of_a_counter_or_histogram() -> None:
    """Prometheus's tools take `_total` for a counter, whose rate means something."""
    sources = Path(instruments.__file__).parents[1].rglob("*.py")
    names = [name for path in sources for name in re.findall(r'\.gauge\(\s*"(\w+)"', path.read_text())]
    assert "entrepot_adoption_repositories" in names
    assert [name for name in names if name.endswith(("_total", "_count", "_sum", "_bucket"))] == []
