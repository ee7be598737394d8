"""The web server: Granian with its workers, and the application's life in each of them."""

from __future__ import annotations

import asyncio
import functools
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol

from entrepot.serving.listener_steering import prefer_newest
from entrepot.serving.listeners import once_listening
from entrepot.serving.process import die_with_parent
from entrepot.serving.signals import hold_stop, release_stop
from entrepot.serving.web_limits import LONGEST_DRAIN_SECONDS

if TYPE_CHECKING:
    import socket

    from entrepot.serving.certificates import ServerTls
    from entrepot.serving.settings import Address, HttpSettings, Surroundings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: A worker that cannot start says so and waits: Granian would start the next one at once.
_FAILURE_PAUSE_SECONDS: Final = 3.0
#: The loop stops when the application is open, and runs again for the server: a timer set before fires in that run.
_SECOND_RUN_SECONDS: Final = 0.005

_POLL_SECONDS: Final = 0.005
#: A worker that dies sooner may have been killed, or may be unable to live; so many of them in a row are the latter.
_YOUNG_SECONDS: Final = 5.5
_MOST_YOUNG_DEATHS: Final = 20
_LONGEST_PAUSE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


def run_web(
    address: Address, workers: int, http: HttpSettings, tls: ServerTls | None, surroundings: Surroundings
) -> None:
    """Run Granian until it is told to stop. This is the main function of the web server's process."""
    from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols  # noqa: PLC0415 - not for the supervisor
    from granian.http import HTTP1Settings  # noqa: PLC0415 - as above
    from granian.log import LogLevels  # noqa: PLC0415 - as above
    from granian.server import Server  # noqa: PLC0415 - as above

    class OwnServer(Server):  # type: ignore[misc,valid-type] # Server is chosen at run time and untyped
        """Granian, given its certificate as it is in memory; it would follow the link to the file behind it.

        It would also end with all its workers when one dies twice within seconds.
        """

        _deaths = YoungDeaths()

        def _respawn_workers(self, workers: list[int], *rest: Any, **more: Any) -> None:
            pause = self._deaths.pause(time.monotonic() - self.wrks[index].birth for index in workers)
            self.main_loop_interrupt.wait(pause or 0.0)
            super()._respawn_workers(workers, *rest, **more)
            if pause is not None:
                self.respawned_wrks.clear()  # so Granian takes the next death for the first

        def _stop_workers(self) -> None:
            self.workers_kill_timeout = stop_workers(self.wrks, LONGEST_DRAIN_SECONDS)
            super()._stop_workers()

        def build_ssl_context(self, *_: object) -> None:
            self.ssl_ctx = _ssl_arguments(tls)

    # The application was imported while the supervisor read the configuration: workers that are forked have it at once,
    # and share its memory. Nothing else has happened in this process, and it runs no threads that hold a lock.
    multiprocessing.set_start_method("fork")
    # A forked worker has the handlers of this process, which would swallow a signal to stop: it is born holding it.
    os.register_at_fork(before=hold_stop, after_in_parent=release_stop)
    server = OwnServer(
        "entrepot",
        address=address.host,
        port=address.port,
        uds=address.unix,
        uds_permissions=address.unix_mode if address.unix else None,
        interface=Interfaces.ASGI,
        workers=workers,
        loop=Loops.uvloop,
        http=HTTPModes.auto if http.http2 else HTTPModes.http1,
        websockets=False,
        backpressure=http.connections,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(http.header_seconds * 1000), max_buffer_size=http.buffer_bytes
        ),
        log_level=LogLevels.warning,
        log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},
        ssl_protocol_min=SSLProtocols(tls.minimum if tls else "tls1.2"),
        respawn_failed_workers=True,
        workers_kill_timeout=LONGEST_DRAIN_SECONDS,
    )
    _configure_log(surroundings)
    server.serve(
        target_loader=functools.partial(load_worker, os.getpid(), surroundings, 0 if address.unix else workers),
        wrap_loader=False,
    )


class YoungDeaths:
    """How long to wait before workers that died are started again: longer while they die young, one after the other."""

    def __init__(self) -> None:
        """Begin with none."""
        self._in_a_row = 0

    def pause(self, lived: Iterable[float]) -> float | None:
        """Count deaths; returns None when there were so many that the server had better end, and say so by that.

        Args:
            lived: How many seconds each of the dead lived.
        """
        for seconds in lived:
            self._in_a_row = self._in_a_row + 1 if seconds < _YOUNG_SECONDS else 0
        if self._in_a_row > _MOST_YOUNG_DEATHS:
            return None
        return min(_LONGEST_PAUSE_SECONDS, max(0, self._in_a_row - 2) * 0.25)


class Stoppable(Protocol):
    """A worker as Granian knows it."""

    def terminate(self) -> None:
        """Tell it to stop."""
        ...

    def is_alive(self) -> bool:
        """Tell whether it still runs, as far as is known."""
        ...


def stop_workers(workers: Sequence[Stoppable], seconds: float) -> float:
    """Tell workers to stop, and wait until they have; return how long Granian may still wait before it kills.

    A thread of Granian's waits for each worker's end, too. Whoever of the two comes second takes the worker for alive
    until the first has noted its end: Granian gives it a millisecond, and then says that it kills what is long gone.
    """
    deadline, patience = time.monotonic() + seconds, threading.Event()
    for worker in workers:
        worker.terminate()
    while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
        patience.wait(_POLL_SECONDS)
    return max(_POLL_SECONDS, deadline - time.monotonic())


def _ssl_arguments(tls: ServerTls | None) -> tuple[Any, ...]:
    """Give what Granian hands to each worker: enabled, certificate, key, password, minimum, CAs, CRLs, verify."""
    if tls is None:
        return (False, None, None, None, "tls1.3", None, [], False)
    pair, authorities = str(tls.pair), str(tls.client_cas) if tls.client_cas else None
    return (True, pair, pair, None, tls.minimum, authorities, [], authorities is not None)


def _configure_log(surroundings: Surroundings) -> None:
    from entrepot.telemetry import logs  # noqa: PLC0415 - not for the supervisor

    logs.configure(surroundings.log)


async def _send_and_close(send: Send, message: Message) -> None:
    """Send, and say in the head that the connection ends: a proxy that keeps it would send a request as it closes."""
    if message["type"] == "http.response.start" and all(name != b"connection" for name, _ in message["headers"]):
        message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
    await send(message)


def load_worker(parent: int, surroundings: Surroundings, sockets: int) -> WebWorker:
    """Make the application of one worker; called by Granian in the worker's process."""
    die_with_parent(parent)
    return WebWorker(surroundings, sockets)


class WebWorker:
    """The ASGI application that Granian sees: it opens the real one when the worker starts, closes it at the end."""

    def __init__(self, surroundings: Surroundings, sockets: int) -> None:
        """Get ready to open it.

        Args:
            surroundings: What it needs.
            sockets: How many listening sockets a server of this port has; 0 on a Unix socket.
        """
        from entrepot.serving.worker_runtime import WorkerRuntime  # noqa: PLC0415 - workers only
        from entrepot.serving.zero_copy import ZeroCopy  # noqa: PLC0415 - as above

        self._runtime = WorkerRuntime(surroundings)
        self._surroundings = surroundings
        self._sockets = sockets
        self._zero_copy = ZeroCopy()
        self._stack = AsyncExitStack()
        self._application: Application | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the worker's start and end."""
        if self._application is not None and scope["type"] == "http":
            if self._runtime.leaving and scope["http_version"].startswith("1"):
                send = functools.partial(_send_and_close, send)
            await self._application(scope, receive, self._zero_copy.offer(scope, send))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        if not await self._open():
            # Raising would make the server go on without an application. The supervisor says what is wrong.
            logging.getLogger("_granian").setLevel(logging.CRITICAL)
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        announcing = asyncio.create_task(self._announce())
        await receive()
        announcing.cancel()
        await self._stack.aclose()
        self._zero_copy.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _announce(self) -> None:
        """Say that this worker serves, once it does: the server opens its socket after the application."""
        await asyncio.sleep(_SECOND_RUN_SECONDS)
        release_stop()
        if self._sockets:
            await once_listening(self._steer)
        self._runtime.ready()

    def _steer(self, listener: socket.socket) -> None:
        prefer_newest(listener, self._sockets)

    async def _open(self) -> bool:
        """Open the application; when it cannot be, tell the supervisor why."""
        from entrepot.serving import entry  # noqa: PLC0415 - workers only

        try:
            target, config = entry.load(self._surroundings)
            await self._stack.enter_async_context(self._runtime.publishing())
            self._application = await self._stack.enter_async_context(target(config, self._runtime))
        except Exception as error:  # noqa: BLE001 - whatever stops a worker is told to the supervisor
            if not _is_explained(error):
                _log.exception("worker cannot start")
            self._runtime.failed(str(error) or type(error).__name__)
            await self._stack.aclose()
            await asyncio.sleep(_FAILURE_PAUSE_SECONDS)
            return False
        return True


def _is_explained(error: Exception) -> bool:
    """Tell whether an operator can mend this; anything else is a mistake of ours, and its traceback helps."""
    return isinstance(error, OSError) or type(error).__module__.startswith("entrepot.")
