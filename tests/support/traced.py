"""What system calls the workers of a registry make while something is done, by strace."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.http_client import Client, eventually
from tests.support.server import Server
from tests.support.tools import find_tool

_OPENED = re.compile(r'\bopen(?:at|at2)?\((?:AT_FDCWD, |\d+(?:<[^>]*>)?, )?"([^"]*)"')
_CONNECTED = re.compile(r"\bconnect\(.*?(AF_INET6?)\b.*")


@dataclass(slots=True)
class Trace:
    """The calls, filled when the watched part is over."""

    opened: set[str] = field(default_factory=set)  #: paths of files
    connected: list[str] = field(default_factory=list)  #: calls that open a connection over IP


@contextmanager
def traced(server: Server, folder: Path) -> Iterator[Trace]:
    """Watch what answers requests; the trace has something in it only afterwards."""
    output, found = folder / "strace.txt", Trace()
    pids = [argument for process in server.web_workers() for argument in ("-p", str(process.pid))]
    command = [str(find_tool("strace")), "-f", "-e", "trace=open,openat,openat2,connect", "-o", str(output), *pids]
    strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: _is_watching(server, output), what="strace")
        yield found
    finally:
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=20)
    text = output.read_text(errors="replace")
    found.opened = set(_OPENED.findall(text))
    found.connected = [line for line in text.splitlines() if _CONNECTED.search(line)]


def _is_watching(server: Server, output: Path) -> bool:
    """Ask for a file that a worker has to open, until that shows in the trace: a new one, that none remembers."""
    client = Client.of(server)
    digest = client.push_blob("traced/r", secrets.token_bytes(16))
    client.request("GET", f"/v2/traced/r/blobs/{digest}")
    return output.exists() and digest.partition(":")[2] in output.read_text(errors="replace")
