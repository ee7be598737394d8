"""Azurite, Microsoft's own stand-in for Azure Blob Storage: a server on a free port of the loopback, kept in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.support.node_packages import node_modules
from tests.support.terminal import ENDS_WITH_TESTS
from tests.support.tools import find_tool

#: The account that every Azurite has; both are printed in its manual.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SOURCE = Path(__file__).with_name("azurite_server")
_VERSION = "2021-12-02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """A running server."""

    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        """The address of the account, as `storage.azure.serviceurl` takes it."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def make_container(self) -> str:
        """Make a container that nobody used before."""
        name = f"blobs-{uuid.uuid4().hex[:12]}"
        date = formatdate(usegmt=True)
        fields = f"x-ms-date:{date}\nx-ms-version:{_VERSION}"
        resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        signed = "\n".join(["PUT", *[""] * 11, fields, resource])
        proof = base64.b64encode(hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)).decode()
        headers = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Authorization": f"SharedKey {ACCOUNT}:{proof}",
            "Content-Length": "0",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        connection.close()
        return name


@contextmanager
def running_azurite(*more: str, port: int = 0) -> Iterator[Azurite]:
    """Start a server without a container and stop it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="entrepot-azurite-"))
    program = node_modules(_SOURCE) / "azurite" / "dist" / "src" / "blob" / "main.js"
    options = [
        "--blobPort",
        str(port),
        "--inMemoryPersistence",
        "--silent",
        "--skipApiVersionCheck",
        "--disableTelemetry",
    ]
    command = [*ENDS_WITH_TESTS, str(find_tool("node")), str(program), *options, *more]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        yield Azurite(port=_port_of(process), process=process)
    finally:
        process.terminate()
        process.communicate(timeout=20)
        shutil.rmtree(folder, ignore_errors=True)


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if found := re.search(r"listens on https?://127\.0\.0\.1:(\d+)", line):
            return int(found[1])
        said.append(line)
    pytest.fail(f"Azurite ended: {''.join(said)}")
