"""The supervisor: the process a person starts, whose children do the work.

It waits on one selector for everything that can happen: a signal, a child's death, a child's notice, a moment that was
planned. Children die with it (the kernel sees to that), so killing it leaves nothing running.

A certificate is changed by starting a second web server with the new one beside the first (both share the port) and
letting the first finish what it began. So a new server that cannot start changes nothing.
"""

from __future__ import annotations

import logging
import selectors
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from entrepot.serving.announcement import announce, await_listener, tell
from entrepot.serving.children import Child, Role, bury_orphans
from entrepot.serving.heartbeats import DiskProbe, Heartbeats
from entrepot.serving.settings import Surroundings
from entrepot.serving.signals import SignalPipe
from entrepot.serving.web_limits import LONGEST_DRAIN_SECONDS

if TYPE_CHECKING:
    from entrepot.serving.fork_server import Copy, ForkServer
    from entrepot.serving.notices import Notice
    from entrepot.serving.settings import ServeSettings
    from entrepot.serving.supervisor_resources import House

_log = logging.getLogger(__name__)

WEB: Final = "web"
JOB: Final = "job"
#: The role of a `serve` without a web server.
JOBS_ONLY: Final = "jobs"
_TICK_SECONDS: Final = 1.0
#: So often in a row a web worker may fail to become ready before `serve` gives up and says why.
_MAX_FAILURES: Final = 5
#: Between the first answer of a new web server and the end of the old one.
_HANDOVER_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 5.0


class Supervisor:
    """Runs the registry until it is stopped or cannot go on."""

    def __init__(self, settings: ServeSettings, house: House, forks: ForkServer) -> None:
        """Take charge.

        Args:
            settings: What `serve` was told.
            house: What the processes share.
            forks: What makes the processes.
        """
        self._settings = settings
        self._house = house
        self._forks = forks
        self._signals = SignalPipe()
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []
        self._roles = {WEB: Role(WEB, self._launch_web), JOB: Role(JOB, self._launch_job)}
        self._restarts = house.metrics.counter("entrepot_process_restarts", "Processes started again.", ("role",))
        self._heartbeats = Heartbeats(DiskProbe(settings.data), house.health.storage_answers)
        self._announced = False
        self._stopping = False
        self._drain_at: float | None = None
        self._retire_at: float | None = None
        self._exit_code = 0

    def run(self) -> int:
        """Start the children and see to them; returns the exit code of `serve`."""
        self._selector.register(self._signals.socket, selectors.EVENT_READ, self._on_signals)
        self._selector.register(self._house.notices.socket, selectors.EVENT_READ, self._on_notices)
        self._start(self._roles[JOB if self._settings.role == JOBS_ONLY else WEB])
        while self._children or not self._stopping:
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._on_time()
        self._heartbeats.close()
        self._signals.close()
        self._selector.close()
        return self._exit_code

    # ------------------------------------------------------------------------------------------------- children

    def _launch_web(self, generation: int) -> Copy:
        house, settings = self._house, self._settings
        tls = house.certificates.for_server if house.certificates else None
        surroundings = self._surroundings(WEB, generation, settings.web)
        what = "entrepot.serving.web:run_web"
        return self._forks.start(WEB, what, house.address, settings.workers, settings.http, tls, surroundings)

    def _launch_job(self, generation: int) -> Copy:
        surroundings = self._surroundings(JOB, generation, self._settings.jobs)
        return self._forks.start(JOB, "entrepot.serving.job:run_jobs", surroundings)

    def _surroundings(self, role: str, generation: int, entry: str) -> Surroundings:
        settings = self._settings
        return Surroundings(
            role=role,
            generation=generation,
            folder=self._house.runtime.path,
            entry=entry,
            config=settings.config,
            log=settings.log,
            node=self._house.node,
            address="" if settings.role == JOBS_ONLY else self._house.address.url(tls=settings.tls is not None),
        )

    def _start(self, role: Role) -> None:
        child = role.start()
        self._children.append(child)
        self._selector.register(child.pidfd, selectors.EVENT_READ, partial(self._on_death, child))

    def _running(self, role: str) -> list[Child]:
        """Give the children of a role that are not asked to stop, oldest first."""
        return [child for child in self._children if child.role == role and child.deadline is None]

    def _on_death(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        self._children.remove(child)
        code = child.reap()
        if self._stopping:
            self._finish_jobs()
        if self._stopping or child.deadline is not None:
            return
        if self._running(child.role):
            # A new web server beside a working one: the old one goes on with the old certificate.
            _log.error("the new web server ended, the old one goes on", extra={"exit_code": code})
            self._house.keep_old_certificate()
            return
        self._replace(child, code)

    def _replace(self, child: Child, code: int) -> None:
        role = self._roles[child.role]
        if not child.ready:
            # Whoever was killed by a signal had no chance to fail by itself.
            why = f"The {child.role} process ended with exit code {code} before it was ready."
            self._count_failure(role, why, is_first=role.generations == 1 and code >= 0)
            if self._stopping:
                return
        pause = role.ended(child)
        self._restarts.inc(child.role)
        extra = {"role": child.role, "exit_code": code, "pause_seconds": pause}
        _log.error("a process ended and is started again", extra=extra)

    def _count_failure(self, role: Role, why: str, *, is_first: bool) -> None:
        role.failures += 1
        if (
            role.name == JOB and self._announced
        ):  # the web server serves meanwhile; what stops this, a full disk above all, may pass
            _log.error("the job worker cannot start and is tried again", extra={"reason": why})
        elif is_first and not role.was_ready:
            self._give_up(why)
        elif role.failures >= _MAX_FAILURES * self._settings.workers:
            self._give_up(f"{why} This happened {role.failures} times in a row.")
        else:
            _log.error("a process cannot start", extra={"role": role.name, "reason": why})

    # --------------------------------------------------------------------------------------------------- notices

    def _on_notices(self) -> None:
        for notice in self._house.notices.read():
            if notice.kind == "alive":
                self._heartbeats.heard(notice.pid)
            elif notice.kind == "note":
                tell(notice.text)
            elif notice.kind == "failed":
                self._on_failed(notice)
            else:
                self._on_ready(notice)

    def _sender(self, notice: Notice) -> Child | None:
        return next((c for c in self._children if (c.role, c.generation) == (notice.role, notice.generation)), None)

    def _on_failed(self, notice: Notice) -> None:
        child = self._sender(notice)
        if self._stopping:
            return  # Every worker fails for the same reason; it has been said.
        if child is not None and not child.ready and len(self._running(child.role)) > 1:
            _log.error("the new web server cannot start, the old one goes on", extra={"reason": notice.text})
            child.stop(_LAST_SECONDS)
            self._house.keep_old_certificate()
        else:
            self._count_failure(self._roles[notice.role], notice.text, is_first=notice.generation == 1)

    def _on_ready(self, notice: Notice) -> None:
        role = self._roles[notice.role]
        role.failures, role.was_ready = 0, True
        child = self._sender(notice)
        if child is None:
            return
        child.ready = True
        self._heartbeats.ready(notice)
        if self._stopping:
            self._finish_jobs()
        elif notice.role == WEB:
            self._on_web_ready(child)
        elif not self._announced:
            self._announce()

    def _on_web_ready(self, child: Child) -> None:
        running = self._running(WEB)
        if len(running) > 1 and child is running[-1]:
            self._retire_at = time.monotonic() + _HANDOVER_SECONDS
        if not self._announced:
            await_listener(self._house.address)
            self._announce()
            if self._settings.role != WEB:
                self._start(self._roles[JOB])

    def _announce(self) -> None:
        self._announced = True
        announce(self._settings, self._house)
        self._house.health.start()

    # ---------------------------------------------------------------------------------------------------- signals

    def _on_signals(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGHUP:
                self._reload()
            elif self._stopping:
                self._stop(0)
            elif self._drain_at is None and self._announced and self._running(WEB) and self._settings.drain_delay:
                self._leave()
            else:
                self._drain()

    def _reload(self) -> None:
        if not self._house.watch:
            _log.info("nothing to reload: there is no certificate (http.tls)")
        elif self._house.watch.reload():
            self._renew_web()

    def _renew_web(self) -> None:
        """Start a web server with the new certificate; the old one goes when the new one answers."""
        if self._stopping or not self._announced:
            return
        _log.info("certificate taken over; new connections get it in a moment")
        for late in self._running(WEB)[1:]:
            late.stop(LONGEST_DRAIN_SECONDS)
        self._start(self._roles[WEB])

    def _leave(self) -> None:
        """Say that no more requests should come, and take those that come until balancers have noticed."""
        delay = self._settings.drain_delay
        _log.info("stopping; requests are taken until balancers have noticed", extra={"seconds": delay})
        self._house.health.draining()
        self._drain_at = time.monotonic() + delay

    def _drained_in_time(self) -> bool:
        """Begin to drain if the delay is over; tell whether that was so."""
        if self._drain_at is None or self._drain_at > time.monotonic():
            return False
        self._drain()
        return True

    def _drain(self) -> None:
        """Let the web servers finish, and then the job worker: it does what the last requests left to do."""
        _log.info("stopping; requests in flight may finish", extra={"seconds": self._settings.drain_seconds})
        self._house.health.draining()
        self._stopping = True
        for child in self._children:
            if child.role == WEB:
                child.stop(self._settings.drain_seconds)
        self._finish_jobs()

    def _finish_jobs(self) -> None:
        if not any(child.role == WEB for child in self._children):
            for child in self._children:
                child.finish(self._settings.drain_seconds)

    def _stop(self, within: float) -> None:
        self._stopping = True
        for child in self._children:
            child.stop(within)

    def _give_up(self, why: str) -> None:
        tell(f"entrepot: {why}", sys.stderr)
        self._exit_code = 1
        self._stop(_LAST_SECONDS)

    # ------------------------------------------------------------------------------------------------------- time

    def _patience(self) -> float:
        moments = [role.due for role in self._roles.values()] + [child.deadline for child in self._children]
        moments += [self._retire_at, self._drain_at]
        nearest = min((moment for moment in moments if moment is not None), default=None)
        if nearest is None:
            return _TICK_SECONDS
        return min(_TICK_SECONDS, max(0.0, nearest - time.monotonic()))

    def _on_time(self) -> None:
        for child in self._children:
            if child.kill_if_late():
                child.deadline = time.monotonic() + _TICK_SECONDS
        renewing = self._house.renewal.pid if self._house.renewal else None
        self._forks.lives()
        self._keep_folder()
        own = {self._forks.pid, *(child.process.pid for child in self._children)}
        bury_orphans(own | ({renewing} if renewing else set()))
        if self._stopping or self._drained_in_time():
            return
        if WEB in self._heartbeats.look(self._goes_on):  # the end of a job worker is seen, and counted, as any other
            self._restarts.inc(WEB)
        for role in self._roles.values():
            if role.due is not None and role.due <= time.monotonic():
                self._start(role)
        if self._retire_at is not None and self._retire_at <= time.monotonic():
            self._retire_old_web()
        if self._house.renewal and self._announced and self._house.renewal.look():
            self._reload()
        elif self._house.watch and self._house.watch.changed():
            self._renew_web()

    def _keep_folder(self) -> None:
        """Workers cannot start, nor be heard, without the folder that all share."""
        house = self._house
        if house.runtime.is_whole():
            return
        _log.warning(
            "the folder that the processes share was removed by somebody else (logind's RemoveIPC does that when a "
            "person signs out); it is made again",
            extra={"folder": str(house.runtime.path)},
        )
        self._selector.unregister(house.notices.socket)
        house.notices.close()
        house.runtime.make_again()
        house.notices.open()
        self._selector.register(house.notices.socket, selectors.EVENT_READ, self._on_notices)

    def _goes_on(self, role: str, generation: int) -> bool:
        return any(child.generation == generation for child in self._running(role))

    def _retire_old_web(self) -> None:
        self._retire_at = None
        for old in self._running(WEB)[:-1]:
            old.stop(LONGEST_DRAIN_SECONDS)
