"""Signals as something a selector can wait for."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import Final

STOP: Final = (signal.SIGTERM, signal.SIGINT)
WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalPipe:
    """Collects the watched signals; `socket` is readable when there are some."""

    def __init__(self) -> None:
        self.socket, self._write_end = socket.socketpair()
        self.socket.settimeout(0)
        self._write_end.settimeout(0)
        for number in WATCHED:
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(self._write_end.fileno(), warn_on_full_buffer=False)

    def read(self) -> list[int]:
        """Give the signals that came."""
        with contextlib.suppress(BlockingIOError):
            return list(self.socket.recv(64))
        return []

    def close(self) -> None:
        """Leave signals to their default again."""
        signal.set_wakeup_fd(-1)
        for number in WATCHED:
            signal.signal(number, signal.SIG_DFL)
        self.socket.close()
        self._write_end.close()


def hold_stop() -> None:
    """Let the kernel keep signals to stop until `release_stop`; a process forked meanwhile keeps its own.

    A web worker runs its event loop twice, for the start and for requests, and the loop forgets a signal that arrives
    between the two: the worker would not hear that it should stop.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)


def release_stop() -> None:
    """Let them through again; one that was kept arrives now. Call it in the thread that held them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)


def _nothing(*_: object) -> None:
    """Do nothing: the number arrives through the wake-up descriptor."""
