"""`entrepot doctor --protocol`: the specification's requests, against ours and against Debian's docker-registry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_client import Client
from tests.support.object_stores import s3_values
from tests.support.postgres import PostgresServer
from tests.support.registry2 import Registry2
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import ADMIN_PASSWORD, Server

SCRATCH = "scratch/of-doctor"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A registry as it runs without a file: accounts, tokens, everything private."""
    with Server() as running:
        yield running


def entrepot(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [str(Path(sys.executable).parent / "entrepot"), "doctor", "--protocol", *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=120)


def tried(*words: str, given: str = "") -> dict[str, Any]:
    """Run it, and give its report; the exit code says whether something failed."""
    done = entrepot(*words, "--json", given=given)
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == int(bool(failed(report))), done.stderr
    return report


def failed(report: dict[str, Any]) -> set[str]:
    """List the endpoints that do not do what they should."""
    return {one["endpoint"] for one in report["results"] if one["outcome"] == "failed"}


def test_ours_fails_nothing_and_nothing_stays(server: Server) -> None:
    """Every case is tried and passes, by name and password; afterwards neither tags nor blobs nor uploads are there."""
    assert_whole(server)


def assert_whole(server: Server) -> None:
    """Try all that there is; nothing may fail, be left out, or stay."""
    report = tried(server.url, "--scratch", SCRATCH, "-u", "admin", "--password-stdin", given=f"{ADMIN_PASSWORD}\n")
    assert {one["outcome"] for one in report["results"]} == {"passed"}, report
    assert len(report["results"]) > 30
    assert report["stays"] == []
    client = Client.of(server)
    assert client.request("GET", f"/v2/{SCRATCH}/tags/list").json()["tags"] == []
    assert client.request("GET", "/v2/_catalog").json()["repositories"] == []


@pytest.mark.parametrize("redirects", [True, False], ids=["redirects", "no redirects"])
def test_ours_fails_nothing_on_postgresql_and_s3(
    postgres: PostgresServer, seaweedfs: SeaweedFs, *, redirects: bool
) -> None:
    """The same without a folder: clients are sent to the store for blobs, or get them from the registry."""
    storage = {"s3": s3_values(seaweedfs), "delete": {"enabled": True}, "redirect": {"disable": not redirects}}
    with postgres.database() as url, Server({"storage": storage}, database=url) as server:
        assert_whole(server)
        client = Client.of(server)
        digest = client.push_blob("team/app", bytes(100_000))
        assert client.request("GET", f"/v2/team/app/blobs/{digest}").status == (307 if redirects else 200)


def test_a_stranger_reads_only_and_is_told_what_was_not_tried(server: Server) -> None:
    """Without a scratch repository nothing is written; what a stranger may not see is not held against a registry."""
    report = tried(server.url)
    assert failed(report) == set()
    assert [one["endpoint"] for one in report["results"] if one["outcome"] == "passed"] == ["end-1"]
    said = entrepot(server.url, "-u", "admin", "--password-stdin", given=f"{ADMIN_PASSWORD}\n")
    assert "7 passed, 0 failed, 27 not tried" in said.stdout
    assert "name a scratch repository with --scratch" in said.stdout
    assert Client.of(server).request("GET", "/v2/_catalog").json()["repositories"] == []


def test_what_docker_registry_fails_is_named(tmp_path: Path) -> None:
    """registry:2 knows neither referrers nor pages of tags, and puts chunks anywhere."""
    theirs = Registry2(tmp_path / "theirs")
    with theirs.running():
        report = tried(f"http://{theirs.address}", "--scratch", SCRATCH)
        assert failed(report) - {"end-8a"} == {"end-5", "end-7a", "end-8b", "end-12a", "end-12b"}
        assert report["stays"] == []
        said = entrepot(f"http://{theirs.address}", "--scratch", SCRATCH)
    assert said.returncode == 1
    assert "end-12b" in said.stdout


@pytest.mark.parametrize("words", [["registry.example.org"], ["http://127.0.0.1:9"], ["ftp://127.0.0.1"]])
def test_an_address_that_is_none_is_said_in_one_line(words: list[str]) -> None:
    """An address without its scheme, or where nobody answers, is an error and no traceback."""
    said = entrepot(*words)
    assert said.returncode in (1, 2)
    assert "Traceback" not in said.stderr
    assert said.stderr
