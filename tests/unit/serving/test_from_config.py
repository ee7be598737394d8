"""What `serve` makes of a configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entrepot.config import Config, load
from entrepot.serving import entry
from entrepot.serving.from_config import serve_settings
from entrepot.serving.settings import ServeSettings, Surroundings


def settings(tmp_path: Path, text: str) -> ServeSettings:
    """Give the settings for a config.yml with these further sections."""
    file = tmp_path / "config.yml"
    file.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}}}}}\n{text}")
    loaded = load(file, {})
    assert not loaded.problems
    return serve_settings(loaded.config, web="a:web", jobs="a:jobs")


def test_without_a_file(tmp_path: Path) -> None:
    """The loopback, port 5000, a process for each processor up to eight, no TLS, no debug listener."""
    made = serve_settings(load(None, {}, data=tmp_path).config, web="a:web", jobs="a:jobs")
    assert (made.address.host, made.address.port) == ("127.0.0.1", 5000)
    assert made.workers == min(8, len(os.sched_getaffinity(0)))
    assert (made.tls, made.debug, made.drain_seconds) == (None, None, 30.0)
    assert made.data == tmp_path


def test_the_configuration_travels_whole(tmp_path: Path) -> None:
    """Workers unpack the same configuration, with what it knows of its origin."""
    made = settings(tmp_path, "http: {addr: ':0', secret: hidden}")
    around = Surroundings(
        role="web", generation=1, folder=tmp_path, entry="builtins:dict", config=made.config, log=made.log
    )
    unpacked = entry.load(around)[1]
    assert isinstance(unpacked, Config)
    assert unpacked.open_registry
    assert unpacked.data == tmp_path
    assert b"hidden" not in repr(made).encode()


def test_all_addresses_and_a_socket(tmp_path: Path) -> None:
    """`:5000` means every address; `net: unix` a socket."""
    assert settings(tmp_path, "http: {addr: ':5000'}").address.host in ("::", "0.0.0.0")
    made = settings(tmp_path, f"http: {{net: unix, addr: {tmp_path}/registry.sock}}")
    assert made.address.unix == tmp_path / "registry.sock"


def test_tls_and_http2(tmp_path: Path) -> None:
    """HTTP/2 only over TLS and only when asked for; the minimum is never below 1.2."""
    text = "http: {addr: ':0', tls: {certificate: a.crt, key: a.key, minimumtls: tls1.0}, http2: {disabled: false}}"
    made = settings(tmp_path, text)
    assert made.tls is not None
    assert (made.tls.minimum, made.http.http2) == ("tls1.2", True)
    assert not settings(tmp_path, "http: {addr: ':0', http2: {disabled: false}}").http.http2


@pytest.mark.parametrize(
    ("prometheus", "path"),
    [("", None), ("prometheus: {enabled: true}", "/metrics"), ("prometheus: {enabled: true, path: /m}", "/m")],
)
def test_the_debug_listener(tmp_path: Path, prometheus: str, path: str | None) -> None:
    """Metrics are there only when the configuration enables them, under its path."""
    made = settings(tmp_path, f"http: {{addr: ':0', debug: {{addr: 'localhost:5001', {prometheus}}}}}")
    assert made.debug is not None
    assert (made.debug.host, made.debug.port, made.debug.metrics_path) == ("localhost", 5001, path)


def test_health_checks(tmp_path: Path) -> None:
    """Each check of the section has registry:2's name, its interval and its threshold."""
    made = settings(
        tmp_path,
        """
http: {addr: ':0'}
health:
  storagedriver: {enabled: true, interval: 3s, threshold: 2}
  file: [{file: /down}]
  http: [{uri: 'http://127.0.0.1:1/x', statuscode: 204, timeout: 2s, headers: {A: [b, c]}}]
  tcp: [{addr: '127.0.0.1:1', timeout: 1s}]
""",
    )
    found = {check.name: (check.interval, check.threshold) for check in made.health.checks}
    assert found == {
        "storagedriver_filesystem": (3.0, 2),
        "/down": (10.0, 0),
        "http://127.0.0.1:1/x": (10.0, 0),
        "127.0.0.1:1": (10.0, 0),
    }


def test_names_of_health_checks_hold_no_credentials(tmp_path: Path) -> None:
    """Two checks that differ in their credentials alone are still two."""
    made = settings(
        tmp_path,
        """
http: {addr: ':0'}
health:
  http: [{uri: 'http://a:hidden@127.0.0.1:1/x?k=hidden'}, {uri: 'http://127.0.0.1:1/x?k=z'}]
""",
    )
    assert [check.name for check in made.health.checks] == ["http://127.0.0.1:1/x?***", "http://127.0.0.1:1/x?*** (2)"]
    assert b"hidden" not in repr(made.health).encode()


def test_the_log(tmp_path: Path) -> None:
    """Level, form, fields and the access log are taken over."""
    log = settings(
        tmp_path,
        "http: {addr: ':0'}\n"
        "log: {level: warn, formatter: json, fields: {a: b}, accesslog: {disabled: true}, reportcaller: true}",
    ).log
    assert (log.level, log.formatter, dict(log.fields), log.access_log) == ("warn", "json", {"a": "b"}, False)
    assert log.report_caller
