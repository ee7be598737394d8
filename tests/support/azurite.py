"""Azurite, Microsoft's own stand-in for Azure Blob Storage: a server on a free port of the loopback, kept in memory."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.node_packages import node_modules
from tests.support.terminal import ENDS_WITH_TESTS
from tests.support.tools import find_tool

#: The account that every Azurite has; both are printed in its manual.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SOURCE = Path(__file__).with_name("azurite_server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """A running server."""

    port: int
    process: subprocess.Popen[str]
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The address of the account, as `storage.azure.serviceurl` takes it."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{ACCOUNT}"

    def make_container(self, *, trust: Path | None = None) -> str:
        """Make a container that nobody used before; with TLS, `trust` is the file of the authority behind it."""
        from azure.storage.blob import ContainerClient  # noqa: PLC0415 - half a second for every process that tests

        name = f"blobs-{uuid.uuid4().hex[:12]}"
        key = {"account_name": ACCOUNT, "account_key": KEY}
        with ContainerClient(self.url, name, credential=key, connection_verify=str(trust or "")) as client:
            client.create_container()
        return name

    def sign_account(self) -> str:
        """Give the query of an address that lets in whoever has it, to everything, for an hour."""
        from azure.storage.blob import generate_account_sas  # noqa: PLC0415 - see above

        return generate_account_sas(
            ACCOUNT,
            KEY,
            resource_types="sco",
            permission="rwdlac",
            expiry=datetime.now(UTC) + timedelta(hours=1),
            services="b",
        )


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
        yield Azurite(port=_port_of(process), process=process, scheme="https" if "--cert" in more else "http")
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
