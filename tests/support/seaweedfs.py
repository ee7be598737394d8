"""SeaweedFS: a real S3 server on free ports of the loopback, begun on an empty folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from tests.support.ports import free_port
from tests.support.terminal import ENDS_WITH_TESTS

ACCESS_KEY = "entrepot-tests"
SECRET_KEY = "only-known-on-the-loopback"
REGION = "us-east-1"
BUCKET = "entrepot"
_PROGRAM = Path(sys.executable).with_name("weed")
_START_SECONDS = 60
#: One user who may do everything, and one who may do nothing.
_USERS = {
    "identities": [
        {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {"name": "nobody", "credentials": [{"accessKey": "nobody", "secretKey": "nothing"}], "actions": []},
    ]
}


@dataclass(slots=True, kw_only=True)
class SeaweedFs:
    """A running server, which has one bucket; each further one costs it seven files of data."""

    port: int
    filer: int  #: where objects are read without a signature, below /buckets/BUCKET, as by whatever a CDN has before it
    process: subprocess.Popen[bytes]
    folder: Path
    command: list[str]

    def start_again(self) -> None:
        """Start it once more, where it was killed, on its ports and its folder; that takes 20 seconds."""
        self.process = _started(self.command, self.folder)
        _await(self, is_new=False)
        assert self.process.poll() is None

    @property
    def url(self) -> str:
        """Where it is asked, as `storage.s3.regionendpoint` takes it."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """Give a plain client of its owner."""
        return client_of(self.url)

    def make_bucket(self) -> str:
        """Make a bucket that nobody used before, for those for whom a root of their own is not enough."""
        name = f"blobs-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name


def client_of(url: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Any:
    """Give a plain client of a server."""
    return botocore.session.Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}
        ),
    )


@contextmanager
def running_seaweedfs(folder: Path | None = None) -> Iterator[SeaweedFs]:
    """Start a server without a bucket and stop it in the end; one that begins on a used folder takes 20 seconds."""
    with ExitStack() as stack:
        server = _begun(stack, folder)
        for _ in range(2):
            if server.process.poll() is None:
                break
            server = _begun(stack, folder)  # somebody else took one of its ports meanwhile
        if server.process.poll() is not None:
            pytest.fail(f"SeaweedFS does not serve: {(server.folder / 'log').read_text()[-2000:]}")
        yield server


def _begun(stack: ExitStack, folder: Path | None) -> SeaweedFs:
    """Start a server, and wait until it serves or has ended."""
    place = folder or Path(tempfile.mkdtemp(prefix="entrepot-seaweedfs-"))
    if folder is None:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
    (place / "users.json").write_text(json.dumps(_USERS))
    port, filer, command = _command(place)
    server = SeaweedFs(port=port, filer=filer, process=_started(command, place), folder=place, command=command)
    stack.callback(_end, server)
    _await(server, is_new=True)
    return server


def _end(server: SeaweedFs) -> None:
    server.process.kill()  # it would take five seconds to say goodbye to itself
    server.process.wait(timeout=20)


def _started(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _command(folder: Path) -> tuple[int, int, list[str]]:
    ports = [str(free_port()) for _ in range(8)]
    options = {
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "dir": str(folder),
        "master.port": ports[0],
        "master.port.grpc": ports[1],
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": "256",
        "volume.port": ports[2],
        "volume.port.grpc": ports[3],
        "volume.max": "1000",
        "filer.port": ports[4],
        "filer.port.grpc": ports[5],
        "s3.port": ports[6],
        "s3.port.grpc": ports[7],
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.config": str(folder / "users.json"),
    }
    program = [*ENDS_WITH_TESTS, str(_PROGRAM), "-logtostderr=true", "server", "-s3"]
    return int(ports[6]), int(ports[4]), [*program, *(f"-{name}={value}" for name, value in options.items())]


def _await(server: SeaweedFs, *, is_new: bool) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            if is_new:
                server.client().create_bucket(Bucket=BUCKET)
            server.client().put_object(Bucket=BUCKET, Key="first", Body=b"x")
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
            time.sleep(0.1)
        else:
            return
    if server.process.poll() is None:
        pytest.fail(f"SeaweedFS does not serve: {(server.folder / 'log').read_text()[-2000:]}")
