"""From the configuration to what the supervisor needs."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.config.address import parse_address
from entrepot.serving.asked_uri import shown_uri
from entrepot.serving.check_kind import CheckKind
from entrepot.serving.health_checks import Check, FileCheck, HealthSettings, HttpCheck, StorageCheck, TcpCheck
from entrepot.serving.settings import AcmeSettings, Address, DebugSettings, HttpSettings, ServeSettings, TlsSettings
from entrepot.telemetry.logs import LogSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from entrepot.config import Config
    from entrepot.config.schema.health import Health
    from entrepot.config.schema.http import Http


def serve_settings(config: Config, *, web: str, jobs: str, modules: tuple[str, ...] = ()) -> ServeSettings:
    """Give the settings of `serve` for a configuration.

    `web` and `jobs` are the entry points of the workers, `modules` what these import for this configuration.
    """
    debug = config.http.debug.address
    answers = config.node.role != "jobs"
    acme = _acme(config) if answers else None
    return ServeSettings(
        address=_address(config.http),
        workers=config.web_processes,
        node=config.node.name,
        role=config.node.role,
        web=web,
        jobs=jobs,
        modules=modules,
        config=pickle.dumps(config),
        tls=_tls(config.http, acme) if answers else None,
        acme=acme,
        http=HttpSettings(http2=config.http.http2.enabled and config.http.tls.enabled),
        debug=None if debug is None else DebugSettings(host=debug.host, port=debug.port, metrics_path=_metrics(config)),
        health=HealthSettings(checks=_distinct(_checks(config.health, config.data if config.has_folder else None))),
        log=log_settings(config),
        drain_seconds=config.http.drain,
        drain_delay=config.http.draindelay,
        data=config.data.absolute() if config.has_folder else None,
        place=config.place,
    )


def log_settings(config: Config) -> LogSettings:
    """Give the settings of the log."""
    log = config.log
    return LogSettings(
        level=config.level,
        formatter=log.formatter,
        fields=dict(log.fields),
        access_log=not log.accesslog.disabled,
        report_caller=log.reportcaller,
    )


def _address(http: Http) -> Address:
    address = http.address
    if address.socket is not None:
        return Address(unix=address.socket.absolute())
    return Address(host=address.host or _everywhere(), port=address.port)


def _everywhere() -> str:
    """Give the address for all interfaces; that of IPv6 takes IPv4 connections too."""
    return "::" if Path("/proc/net/if_inet6").exists() else "0.0.0.0"  # noqa: S104 - asked for by `:5000`


def _acme(config: Config) -> AcmeSettings | None:
    if not config.http.tls.is_automatic:
        return None
    wanted, folder = config.http.tls.letsencrypt, config.state.absolute() / "acme"
    settings = AcmeSettings(
        folder=folder,
        hosts=config.http.certified_hosts,
        email=wanted.email,
        host=wanted.address.host,
        port=wanted.address.port,
        authority=wanted.ca,
    )
    return replace(settings, directory=wanted.directoryurl) if wanted.directoryurl else settings


def _tls(http: Http, acme: AcmeSettings | None) -> TlsSettings | None:
    if not http.tls.enabled:
        return None
    return TlsSettings(
        certificate=acme.pair if acme else Path(http.tls.certificate),
        key=acme.pair if acme else Path(http.tls.key),
        client_cas=tuple(Path(path) for path in http.tls.clientcas),
        minimum=http.tls.lowest,
        look_seconds=http.tls.reload,
    )


def _metrics(config: Config) -> str | None:
    prometheus = config.http.debug.prometheus
    return prometheus.path if prometheus.enabled else None


def _checks(health: Health, data: Path | None) -> Iterator[Check]:
    if health.storagedriver.enabled and data is not None:
        driver = health.storagedriver
        probe = StorageCheck(folder=data).probe
        yield Check(
            name="storagedriver_filesystem",
            kind=CheckKind.STORAGE,
            probe=probe,
            interval=driver.interval,
            threshold=driver.threshold,
        )
    for file in health.file:
        probe = FileCheck(file=Path(file.file)).probe
        yield Check(name=file.file, kind=CheckKind.FILE, probe=probe, interval=file.interval, threshold=file.threshold)
    for http in health.http:
        headers = {
            name: ", ".join(value.get_secret_value() for value in values) for name, values in http.headers.items()
        }
        timeout = http.timeout or http.interval
        probe = HttpCheck(uri=http.uri, status=http.statuscode, timeout=timeout, headers=headers).probe
        yield Check(
            name=shown_uri(http.uri),
            kind=CheckKind.HTTP,
            probe=probe,
            interval=http.interval,
            threshold=http.threshold,
        )
    for tcp in health.tcp:
        address = parse_address(tcp.addr)
        probe = TcpCheck(host=address.host, port=address.port, timeout=tcp.timeout or tcp.interval).probe
        yield Check(name=tcp.addr, kind=CheckKind.TCP, probe=probe, interval=tcp.interval, threshold=tcp.threshold)


def _distinct(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Number checks that would have one name, such as addresses that differ in their credentials alone."""
    found: dict[str, Check] = {}
    for check in checks:
        name = next(name for name in _numbered(check.name) if name not in found)
        found[name] = replace(check, name=name)
    return tuple(found.values())


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name} ({number})" for number in itertools.count(2))
