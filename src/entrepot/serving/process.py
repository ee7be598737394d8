"""Starting another Python process that cannot outlive this one."""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import signal
import subprocess
import sys
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1


def start(role: str, function: str, *arguments: Any) -> subprocess.Popen[bytes]:
    """Run a function, `module:name`, in a new process of its own group, so that Ctrl-C reaches the supervisor alone.

    The arguments travel by standard input: the list of processes shows the role and nothing of them.
    """
    command = [sys.executable, "-P", "-m", "entrepot.serving.process", role]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)  # noqa: S603 - our own interpreter
    payload = pickle.dumps((os.getpid(), function, arguments))
    if process.stdin is None:
        raise RuntimeError("The new process has no standard input.")
    try:
        process.stdin.write(payload)
        process.stdin.close()
    except BrokenPipeError:
        pass  # It died at once; its exit code says so.
    return process


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when `parent` ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Run what came by standard input."""
    parent, function, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by our own parent
    die_with_parent(parent)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    resolve(function)(*arguments)


def resolve(name: str) -> Any:
    """Import what `module:name` means."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


if __name__ == "__main__":
    main()
