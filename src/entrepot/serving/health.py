"""Runs the health checks and keeps their results: all for `/debug/health`, what is public for `/readyz`."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from entrepot.serving.check_kind import CheckKind, in_public
from entrepot.telemetry.health_flag import DRAINING, HealthFlag

if TYPE_CHECKING:
    from pathlib import Path

    from entrepot.serving.health_checks import Check, HealthSettings

_log = logging.getLogger(__name__)
_MANUAL = "manual_http_status"
_WORKERS = "workers"


class Health:
    """The state of all checks. Starts a thread when there are any."""

    def __init__(self, settings: HealthSettings, flag: Path) -> None:
        self._checks = settings.checks
        self._flag = HealthFlag(flag)
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._kinds = {check.name: check.kind for check in settings.checks} | {
            _MANUAL: CheckKind.MANUAL,
            DRAINING: CheckKind.DRAINING,
            _WORKERS: CheckKind.STORAGE,
        }
        self._failures: dict[str, int] = {}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to run the checks, each in its own interval."""
        if self._checks:
            threading.Thread(target=self._run, name="health", daemon=True).start()

    def stop(self) -> None:
        """Run no more checks."""
        self._stopping.set()

    def problems(self) -> dict[str, str]:
        """Give what is wrong, by the check's name."""
        with self._lock:
            return dict(self._problems)

    def set_down(self, *, down: bool) -> None:
        """Let an operator take the registry out of service by hand."""
        self._note(_MANUAL, "manually marked down with POST /debug/health/down" if down else None)

    def storage_answers(self, answers: bool) -> None:  # noqa: FBT001 - the news itself, handed on as a callback
        """Say whether all workers wait for a storage that does not answer."""
        self._note(_WORKERS, None if answers else "all workers wait for the storage, which does not answer")

    def draining(self) -> None:
        """Say that the registry is being stopped."""
        with self._lock:
            self._problems[DRAINING] = "the registry is being stopped"
            self._tell_workers()

    def _run(self) -> None:
        due = {check.name: time.monotonic() for check in self._checks}
        while not self._stopping.wait(max(0.05, min(due.values()) - time.monotonic())):
            for check in self._checks:
                if due[check.name] <= time.monotonic():
                    self._run_check(check)
                    due[check.name] = time.monotonic() + max(0.1, check.interval)

    def _run_check(self, check: Check) -> None:
        try:
            problem = check.probe()
        except Exception as error:  # noqa: BLE001 - whatever a probe meets is a finding, not the end of checking
            problem = f"check failed: {error}"
        failures = self._failures[check.name] = self._failures.get(check.name, 0) + 1 if problem else 0
        self._note(check.name, problem if failures >= max(1, check.threshold) else None)

    def _note(self, name: str, problem: str | None) -> None:
        with self._lock:
            before = self._problems.get(name)
            if problem is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = problem
            self._tell_workers()
        if before is None and problem is not None:
            _log.error("health check fails", extra={"check": name, "problem": problem})
        elif before is not None and problem is None:
            _log.info("health check is well again", extra={"check": name})

    def _tell_workers(self) -> None:
        self._flag.write(in_public(self._kinds[name] for name in self._problems))
