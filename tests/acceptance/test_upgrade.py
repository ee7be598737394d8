"""`entrepot db`: an upgrade as an operator meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from entrepot.metadata import schema
from entrepot.oci.digest import Digest
from entrepot.registry.layout import blob_data
from tests.faults.test_upgrade_killed import make_version_2, version_of
from tests.migrations.released import BLOBS, MANIFESTS, TAGS
from tests.support.http_client import Client
from tests.support.server import Server


def db(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command about the database; returns what it printed."""
    command = [str(Path(sys.executable).parent / "entrepot"), "db", *words, "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def state_of(folder: Path, code: int = 0) -> Any:
    """Ask for the state of a database."""
    return json.loads(db(folder, "check", "--json", code=code))["state"]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Give the data folder of a registry of version 2, blobs included."""
    await make_version_2(tmp_path / "data")
    for content in (*BLOBS, b"loose"):
        path = tmp_path / "data" / blob_data(Digest.of(content))
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return tmp_path / "data"


def test_an_upgrade_by_hand(folder: Path) -> None:
    """Looked at, upgraded with a copy of before, finished: each step says what is next, and changes nothing twice."""
    assert "db upgrade brings it up to date" in db(folder, "check", code=1)
    assert state_of(folder, code=1) == "upgrade waits"
    assert version_of(folder / "entrepot/metadata.db") == 2, "it was only looked at"
    assert "without --finish first" in db(folder, "upgrade", "--finish", code=1)
    assert version_of(folder / "entrepot/metadata.db") == 2
    assert f"Upgraded from schema 2 to {schema.VERSION}" in db(folder, "upgrade")
    assert version_of(folder / "entrepot/metadata.db.schema-2") == 2
    assert state_of(folder) == "current"
    assert "nothing to do" in db(folder, "upgrade")
    assert "older programs are refused from now on" in db(folder, "upgrade", "--finish")
    assert state_of(folder) == "finished"


def test_a_start_upgrades_too_and_every_image_pulls(folder: Path) -> None:
    """The digests are the same, and nothing has to be done by hand."""
    with Server({"auth": {"none": {}}}, data=folder) as server:
        client = Client.of(server)
        for name, row in TAGS.items():
            answer = client.request("GET", f"/v2/team/app/manifests/{name}")
            assert (answer.status, answer.body) == (200, MANIFESTS[row - 1])
        for content in BLOBS:
            assert client.request("GET", f"/v2/team/app/blobs/{Digest.of(content)}").body == content
        assert state_of(folder) == "current"
        client.push_image("team/app", "new", b"pushed after the upgrade")
