"""Starting another Python process that cannot outlive this one."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import traceback
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG: Final = 1
#: How the C library keeps freed memory. Left to itself it learns from the first large uploads to keep tens of megabytes
#: for each of its arenas; so few arenas, and bounds that stay as they are. Whoever sets these variables knows better.
_ALLOCATION: Final = MappingProxyType(
    {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "2097152", "MALLOC_TRIM_THRESHOLD_": "2097152"}
)


def spawn(role: str, *words: str, keep: int | None = None) -> subprocess.Popen[bytes]:
    """Start a process that waits to be told what to run.

    It has a group of its own, so that Ctrl-C reaches the supervisor alone.

    Args:
        role: What the list of processes shows.
        words: More of that; the fork server's are what it needs to know.
        keep: A descriptor that it inherits.
    """
    command = [sys.executable, "-P", "-m", "entrepot.serving.process", role, *words]
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        stdin=subprocess.PIPE,
        process_group=0,
        env={**_ALLOCATION, **os.environ},
        pass_fds=() if keep is None else (keep,),
    )


def run(process: subprocess.Popen[bytes], function: str, *arguments: Any) -> None:
    """Let a waiting process run a function, `module:name`.

    The arguments travel by standard input: the list of processes shows the role and nothing of them.
    """
    payload = pickle.dumps((os.getpid(), function, arguments))
    if process.stdin is None:
        raise RuntimeError("The new process has no standard input.")
    try:
        process.stdin.write(payload)
        process.stdin.close()
    except BrokenPipeError:
        pass  # It died at once; its exit code says so.


def call_apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a copy of this process that ends afterwards; returns what it returns.

    Nothing that it imports stays. What it raises is printed there, and None is returned.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(function(*arguments), pipe)
        except BaseException:  # noqa: BLE001 - nothing gets past the end of this process
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        payload = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(payload) if payload else None  # noqa: S301 - written by our own child


def dismiss(process: subprocess.Popen[bytes]) -> None:
    """Let a waiting process go, whether it is still there or not."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    process.wait()


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when `parent` ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def prepare(parent: int) -> None:
    """Be a process of the supervisor's, with that for its parent: without standard input, and with many files."""
    die_with_parent(parent)
    raise_file_limit()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def main() -> None:
    """Run what comes by standard input; nothing, when the parent does not need us or is gone."""
    if sys.argv[1] == "warm":
        _serve_forks(int(sys.argv[2]), *sys.argv[3:])
        return
    payload = sys.stdin.buffer.read()
    if not payload:
        return
    parent, function, arguments = pickle.loads(payload)  # noqa: S301 - written by our own parent
    prepare(parent)
    resolve(function)(*arguments)


def _serve_forks(answers: int, *modules: str) -> None:
    die_with_parent(os.getppid())
    warm_up(*modules)
    resolve("entrepot.serving.fork_server:serve")(answers)


def warm_up(*modules: str) -> None:
    """Import what copies of this process share; what cannot be imported fails where it is used, with the reason."""
    gc.disable()  # Importing makes many objects that stay: looking for garbage among them takes a tenth of the start.
    for module in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()  # Children that are forked share them, as long as nobody looks through them.
    gc.enable()


def raise_file_limit(wanted: int = 1_048_576) -> None:
    """Allow as many open files as the system lets us: each connection is one. Children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


def resolve(name: str) -> Any:
    """Import what `module:name` means."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


if __name__ == "__main__":
    main()
