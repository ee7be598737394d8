"""A registry whose metadata are in PostgreSQL, its blobs in a folder or in S3, as clients and operators use it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support import images
from tests.support.api import BASE
from tests.support.http_client import Client
from tests.support.object_stores import s3_values
from tests.support.postgres import PostgresServer
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import ADMIN_PASSWORD, SECRET_KEY, Server, ServerFailed
from tests.support.tools import find_tool

ADMIN = f"admin:{ADMIN_PASSWORD}"
OTHER_KEY = base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Give the address of an empty database."""
    with postgres.database() as url:
        yield url


def skopeo(*arguments: str | Path) -> str:
    """Run skopeo as the administrator."""
    words = [find_tool("skopeo"), *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def push(layout: Path, server: Server, name: str, login: str = ADMIN) -> None:
    """Push a layout."""
    words = ("--dest-tls-verify=false", "--dest-creds", login)
    skopeo("copy", "--all", "--quiet", "--preserve-digests", *words, f"oci:{layout}:latest", _at(server, name))


def pull(server: Server, name: str, layout: Path, login: str = ADMIN) -> None:
    """Pull an image into a new layout."""
    words = ("--src-tls-verify=false", "--src-creds", login)
    skopeo("copy", "--all", "--quiet", *words, _at(server, name), f"oci:{layout}:latest")


def _at(server: Server, name: str) -> str:
    return f"docker://{server.address}/{name}"


def test_an_image_outlives_a_restart_and_every_job_runs(database: str, tmp_path: Path) -> None:
    """Skopeo pushes, the registry is killed and started again, and skopeo pulls the same; then each job is run once."""
    images.busybox(tmp_path / "layout")
    with Server({"storage": {"delete": {"enabled": True}}}, database=database) as server:
        push(tmp_path / "layout", server, "team/app:1")
        server.kill()
        server.start()
        pull(server, "team/app:1", tmp_path / "pulled")
        assert sorted(_blobs(tmp_path / "pulled")) == sorted(_blobs(tmp_path / "layout"))
        run_jobs(server, ("garbage-collection", "scrub", "upload-purging", "analysis", "usage-history", "duplicates"))
        listed = server.run("--config", str(server.folder / "config.yml"), "job", "list")
        assert "garbage-collection" in listed
        assert not list((server.data / "entrepot").glob("*.db*"))
        assert not (server.data / "entrepot" / "keys").exists()
        wait_for_links(server, "team/app/_manifests/tags/1/current/link")
        assert "Traceback" not in server.logs()


def _blobs(layout: Path) -> Iterator[str]:
    return (blob.name for blob in (layout / "blobs" / "sha256").iterdir())


def run_jobs(server: Server, kinds: Sequence[str]) -> None:
    """Run a job of each kind, unless one waits or runs already; all of them must succeed."""
    client = Client.of(server)
    for kind in kinds:
        assert client.request("POST", f"{BASE}/jobs", *json_body({"kind": kind})).status in (201, 409)
    deadline, found = time.monotonic() + 60, dict.fromkeys(kinds, "")
    while set(found.values()) != {"Success"}:
        assert time.monotonic() < deadline, f"{found}\n{server.logs()}"
        assert "Error" not in found.values(), server.logs()
        found = {kind: client.request("GET", f"{BASE}/jobs?q=kind%3D{kind}").json()[0]["status"] for kind in kinds}
        time.sleep(0.1)


def json_body(document: object) -> tuple[bytes, dict[str, str]]:
    """Give a document as the body and headers of a request."""
    return json.dumps(document).encode(), {"Content-Type": "application/json"}


def wait_for_links(server: Server, path: str) -> None:
    """Wait until registry:2's file is there."""
    file = server.data / "docker" / "registry" / "v2" / "repositories" / path
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} was not written"
        time.sleep(0.05)


def test_a_node_refuses_to_start_without_the_secret_key(database: str) -> None:
    """What is missing is said before anything is touched, with the command that makes a key."""
    with pytest.raises(ServerFailed, match=r"ENTREPOT_SECRET_KEY or ENTREPOT_SECRET_KEY_FILE.*openssl rand"):
        Server(database=database, env={"ENTREPOT_SECRET_KEY": None})


def test_a_node_refuses_to_start_with_another_secret_key(database: str, tmp_path: Path) -> None:
    """A second node that is given another key says so and ends; with the right one, from a file, it serves."""
    with Server(database=database) as server:
        server.stop()
    with pytest.raises(ServerFailed, match="secret key"):
        Server(database=database, env={"ENTREPOT_SECRET_KEY": OTHER_KEY})
    file = tmp_path / "secret.key"
    file.write_text(SECRET_KEY, encoding="ascii")
    file.chmod(0o600)
    with Server(database=database, env={"ENTREPOT_SECRET_KEY": None, "ENTREPOT_SECRET_KEY_FILE": str(file)}):
        pass


def test_nodes_without_a_folder_are_one_registry(database: str, seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    """Nodes are given the database, the bucket and the secret key, write no file, and any may be killed.

    Of two that start at once one shows the first password, which is kept nowhere; what one takes the other gives, and a
    third that joins later knows everything.
    """
    images.busybox(tmp_path / "layout")
    config = {"storage": {"s3": s3_values(seaweedfs), "delete": {"enabled": True}}}
    options = {"database": database, "workers": 1, "env": {"ENTREPOT_ADMIN_PASSWORD": None}}
    with Server(config, start=False, **options) as first, Server(config, start=False, **options) as second:
        for node in (first, second):
            node.start(wait=False)
        for node in (first, second):
            node.wait_until_ready()
        said = [match for node in (first, second) for match in re.findall(r"'admin' is (\S+) - (.*)", node.logs())]
        assert [end for _, end in said] == ["it is shown this once, and kept nowhere."]
        login = f"admin:{said[0][0]}"
        push(tmp_path / "layout", first, "team/app:1", login)
        pull(second, "team/app:1", tmp_path / "second", login)
        first.kill()
        push(tmp_path / "layout", second, "team/app:2", login)
        with Server(config, **options) as third:
            pull(third, "team/app:1", tmp_path / "third", login)
            assert "first password" not in third.logs()
            listed = third.run("--config", str(third.folder / "config.yml"), "node", "list")
            assert second.address in listed
            assert third.address in listed
            files = [path.name for node in (first, second, third) for path in node.folder.rglob("*") if path.is_file()]
            assert set(files) == {"config.yml"}
    assert (
        sorted(_blobs(tmp_path / "third")) == sorted(_blobs(tmp_path / "second")) == sorted(_blobs(tmp_path / "layout"))
    )
