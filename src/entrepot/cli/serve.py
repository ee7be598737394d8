"""`entrepot serve`: run the registry.

Its arguments are few and read by hand: typer would add a tenth of a second to every start.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.serving import process
from entrepot.serving.fork_server import ForkServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entrepot.config import Config, Loaded
    from entrepot.serving.settings import ServeSettings

_log = logging.getLogger("entrepot.config")

_WEB = "entrepot.bootstrap.web:web"
_JOBS = "entrepot.bootstrap.job_worker:jobs"
#: What takes its time to import, and memory that web server and job worker have together.
_SHARED = ("granian", "granian.server", "entrepot.serving.web", "entrepot.serving.job", "entrepot.bootstrap.web")
#: The same, where the blobs are elsewhere than in a folder, and the databases on a server.
_OF_STORES = {
    "s3": ("entrepot.adapters.blobs.objects.store", "entrepot.adapters.blobs.objects.s3"),
    "azure": ("entrepot.adapters.blobs.objects.store", "entrepot.adapters.blobs.objects.azure"),
    "gcs": ("entrepot.adapters.blobs.objects.store", "entrepot.adapters.blobs.objects.gcs"),
}
_OF_POSTGRESQL = ("entrepot.metadata.opening_postgres",)


def serve_command(arguments: Sequence[str]) -> int:
    """Run the registry until it is stopped; returns the exit code."""
    options = parser().parse_args(arguments)
    # It imports what the others need while this process reads the configuration.
    forks = ForkServer(*_SHARED)
    try:
        # What reads the configuration takes twenty megabytes, which this process would keep.
        settings: ServeSettings | None = process.call_apart(_settings, options)
        if settings is None:
            return 1
        forks.load(*settings.modules)
        return _serve(settings, forks)
    finally:
        forks.close()


def parser() -> argparse.ArgumentParser:
    """Describe the arguments of `serve`."""
    result = argparse.ArgumentParser(
        prog="entrepot serve",
        description="Run the registry. With a registry:2 config.yml it does what that file says; without one it "
        "listens on the loopback, keeps its data in ./data, and everything is private.",
    )
    result.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help="a registry:2 or registry:3 config.yml")
    result.add_argument("--listen", metavar="HOST:PORT", help="address to listen on, or unix:PATH")
    result.add_argument("--data", type=Path, metavar="DIR", help="folder for the data")
    result.add_argument("--workers", type=_positive, metavar="N", help="web processes; default: one per processor")
    return result


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


def _settings(options: argparse.Namespace) -> ServeSettings | None:
    """Read the configuration; None when it cannot be used, which has been said."""
    loaded = _load(options)
    if loaded is None:
        return None
    from entrepot.serving.from_config import serve_settings

    return serve_settings(loaded.config, web=_WEB, jobs=_JOBS, modules=_modules(loaded.config))


def _modules(config: Config) -> tuple[str, ...]:
    return (*_OF_STORES.get(config.storage.type, ()), *(_OF_POSTGRESQL if config.on_server else ()))


def _load(options: argparse.Namespace) -> Loaded | None:
    from entrepot.config import check

    report = check(options.config, os.environ, data=options.data, listen=options.listen, workers=options.workers)
    if report.ok and report.loaded:
        _configure_log(report.loaded)
        for warning in report.warnings:
            _log.warning(warning)
        return report.loaded
    for warning in report.warnings:
        print(f"entrepot: warning: {warning}", file=sys.stderr)  # noqa: T201 - the log is not set up yet
    for problem in report.problems:
        print(f"entrepot: {problem}", file=sys.stderr)  # noqa: T201 - as above
    return None


def _configure_log(loaded: Loaded) -> None:
    from entrepot.serving.from_config import log_settings
    from entrepot.telemetry import logs

    logs.configure(log_settings(loaded.config))


def _serve(settings: ServeSettings, forks: ForkServer) -> int:
    from entrepot.serving.errors import StartRefused
    from entrepot.serving.supervisor import Supervisor
    from entrepot.serving.supervisor_resources import House
    from entrepot.telemetry import logs

    logs.configure(settings.log)
    try:
        with House(settings) as house:
            return Supervisor(settings, house, forks).run()
    except StartRefused as error:
        print(f"entrepot: {error}", file=sys.stderr)  # noqa: T201 - meant for the person who started it
        return 1
