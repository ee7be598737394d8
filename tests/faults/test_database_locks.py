"""SQLite's locks belong to a process and a file: whoever closes another descriptor of the file gives them up.

A duplicate of the descriptor counts as another one. Without the locks a second process believes that it is alone,
cuts the shared index to nothing, and the first one dies of SIGBUS in the middle of a commit, or worse, goes on.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.metadata.opening import METADATA_NAME, open_embedded
from entrepot.serving.slow_readers import limit_slow_readers

#: SQLite's "somebody is here" lock in the shared index (UNIX_SHM_DMS in its os_unix.c).
_HERE = 128
_PROBE = f"""
import fcntl, sys
with open(sys.argv[1], "r+b") as index:
    try:
        fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, {_HERE})
    except OSError:
        print("held")
    else:
        print("given up")
"""


def ask(index: Path) -> str:
    """Ask from another process whether somebody holds the lock."""
    return subprocess.run(
        [sys.executable, "-c", _PROBE, index], check=True, text=True, capture_output=True
    ).stdout.strip()


async def test_limiting_slow_readers_leaves_the_locks_of_the_databases(tmp_path: Path) -> None:
    """Looking through all descriptors for listening sockets touches no lock of an open database."""
    stores = await open_embedded(tmp_path)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await limit_slow_readers(7.5)
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7500
        assert ask(tmp_path / f"{METADATA_NAME}-shm") == "held"
        assert ask(tmp_path / "work.db-shm") == "held"
    finally:
        await stores.close()


def test_the_probe_sees_a_lock_that_was_given_up(tmp_path: Path) -> None:
    """The question above has two answers."""
    index = tmp_path / "index"
    index.touch()
    assert ask(index) == "given up"
    with pytest.raises(subprocess.CalledProcessError):
        ask(tmp_path / "missing")
