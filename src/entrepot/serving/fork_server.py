"""One process that has imported what its copies need, and makes them: web server and job worker share its memory.

    supervisor ──► fork server (imports, then waits)
        │               └── copy, made by a copy that ends at once
        └── adopts it: the copy is the supervisor's own child from then on

A copy is there at once and costs only what it changes. The supervisor is told its process id by a pipe; it adopts
orphans (`PR_SET_CHILD_SUBREAPER`), so that it hears of each end and takes the exit code. A fork server that died is
started again when the next process is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import select
import struct
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from entrepot.serving import process

_PR_SET_CHILD_SUBREAPER: Final = 36
_LENGTH: Final = struct.Struct("!Q")
#: Longer than a copy takes even on a busy machine; the first one comes after all imports.
_PATIENCE_SECONDS: Final = 120.0
_LOOKS_FOR_PARENT: Final = 5000
#: The name of the role in the fork server's own command line; those of its copies are no longer.
_ROLE: Final = "warm"
#: What a command begins with that names modules; pickled ones begin otherwise.
_MODULES: Final = b"\0"


@dataclass(slots=True)
class Copy:
    """A process that the fork server made, as the supervisor knows it."""

    pid: int

    def wait(self) -> int:
        """Wait for its end; returns the exit code as `subprocess` does."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


class ForkServer:
    """The supervisor's end."""

    def __init__(self, *modules: str) -> None:
        """Start it; `modules` are what it imports before it makes the first copy."""
        adopt_orphans()
        self._modules = modules
        self._more: tuple[str, ...] = ()
        self._start()

    def load(self, *modules: str) -> None:
        """Let it import these too before its next copy; one that cannot be imported is left to whoever needs it."""
        self._more += modules
        self._send_modules(modules)

    def lives(self) -> bool:
        """Tell whether it runs; takes its exit code when it has ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def start(self, role: str, function: str, *arguments: Any) -> Copy:
        """Run a function, `module:name`, in a copy; the list of processes shows the role and nothing of the arguments.

        Raises:
            OSError: Not even a new fork server made one.
        """
        payload = pickle.dumps((role, os.getpid(), function, arguments))
        pid = self._ask(payload)
        if pid is None:
            self.close()
            self._start()
            pid = self._ask(payload)
        if pid is None:
            raise OSError("no process can be started")
        return Copy(pid)

    def close(self) -> None:
        """Let it go."""
        os.close(self._answers)
        process.dismiss(self._process)

    def _start(self) -> None:
        self._answers, writing = os.pipe()
        self._process = process.spawn(_ROLE, str(writing), *self._modules, keep=writing)
        os.close(writing)
        self._send_modules(self._more)

    def _send_modules(self, modules: tuple[str, ...]) -> None:
        if modules:
            with contextlib.suppress(OSError):  # it died: the next one is told
                self._send(_MODULES + _MODULES.join(module.encode() for module in modules))

    def _send(self, command: bytes) -> None:
        commands = self._process.stdin
        assert commands is not None
        commands.write(_LENGTH.pack(len(command)) + command)
        commands.flush()

    def _ask(self, payload: bytes) -> int | None:
        """Return the id of the copy; None when the fork server is not there any more."""
        with contextlib.suppress(OSError):
            self._send(payload)
            if select.select([self._answers], [], [], _PATIENCE_SECONDS)[0]:
                answer = os.read(self._answers, _LENGTH.size)
                return _LENGTH.unpack(answer)[0] if answer else None
        return None


def adopt_orphans() -> None:
    """Become the parent of processes below this one whose own parents end."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def serve(answers: int) -> None:
    """Make a copy for each command of the supervisor, until it lets us go. This is the fork server's main function."""
    commands = sys.stdin.buffer
    while head := commands.read(_LENGTH.size):
        payload = commands.read(_LENGTH.unpack(head)[0])
        if payload.startswith(_MODULES):
            process.warm_up(*payload[1:].decode().split(_MODULES.decode()))
            continue
        pid = _copy(payload, answers)
        os.write(answers, _LENGTH.pack(pid))


def _copy(payload: bytes, answers: int) -> int:
    """Make a copy that is nobody's child here, and return its process id."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        copy = os.fork()
        if copy:
            os.write(writing, _LENGTH.pack(copy))
            os._exit(0)
        for descriptor in (reading, writing, answers):
            os.close(descriptor)
        _run(payload)
    os.close(writing)
    os.waitpid(between, 0)
    answer = os.read(reading, _LENGTH.size)
    os.close(reading)
    return int(_LENGTH.unpack(answer)[0])


def _run(payload: bytes) -> NoReturn:
    """Be the process that was asked for."""
    role, parent, function, arguments = pickle.loads(payload)  # noqa: S301 - written by our own supervisor
    status = 1
    try:
        os.setpgid(0, 0)
        _show(role)
        for _ in range(_LOOKS_FOR_PARENT):
            if os.getppid() == parent:
                break
            select.select((), (), (), 0.001)  # until the process between has ended
        process.prepare(parent)
        process.resolve(function)(*arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing gets past the end of this process
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _show(role: str) -> None:
    """Write the role where the list of processes has our command line; not where that cannot be had."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - a Path costs an import
            begin = int(file.read().rpartition(b") ")[2].split()[45])
        with open("/proc/self/cmdline", "rb") as file:  # noqa: PTH123 - as above
            place = file.read().index(f"\0{_ROLE}\0".encode()) + 1
        ctypes.memmove(begin + place, role.encode()[: len(_ROLE)].ljust(len(_ROLE), b"\0"), len(_ROLE))
