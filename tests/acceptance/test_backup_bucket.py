"""Backups in an object store: made by command and by schedule, looked at from anywhere, brought back into a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.azurite import Azurite
from tests.support.http_client import Client, eventually
from tests.support.object_stores import azure_values, s3_values
from tests.support.seaweedfs import ACCESS_KEY, REGION, SECRET_KEY, SeaweedFs
from tests.support.server import Server


def test_a_registry_is_backed_up_into_a_bucket_and_restored(seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    """With a key; the bucket is reached as the configuration says, or as AWS's own programs would reach it."""
    values = s3_values(seaweedfs)
    target = f"s3://{values.pop('bucket')}{values.pop('rootdirectory')}"
    key, layer = tmp_path / "key", os.urandom(9 << 20)
    key.write_bytes(subprocess.run(["openssl", "rand", "-base64", "32"], check=True, capture_output=True).stdout)
    key.chmod(0o600)
    backup = {"target": target, "key": str(key), "s3": values}
    with Server({"auth": {"none": {}}, "backup": backup}) as server:
        config = str(server.folder / "config.yml")
        digest = Client.of(server).push_image("a/b", "one", layer)
        made = json.loads(server.run("backup", "create", target, "--key", str(key), "--json", "--config", config))
        assert (made["new_blobs"], made["lost"]) == (2, [])
        Client.of(server).push_image("a/b", "two", b"new")
        server.run("job", "start", "backup", "--config", config)

        def listed() -> list[Any]:
            return list(
                json.loads(server.run("backup", "list", target, "--key", str(key), "--json", "--config", config))
            )

        eventually(lambda: len(listed()) == 2, 60, "the second backup")
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_S3": seaweedfs.url,
    }

    def entrepot(*words: str) -> Any:
        command = [str(Path(sys.executable).parent / "entrepot"), "backup", *words, "--key", str(key), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    assert [one["faults"] for one in entrepot("verify", target, "--all")] == [[], []]
    assert entrepot("prune", target, "--keep-last", "1")["kept"] == 1
    assert entrepot("restore", target, str(tmp_path / "restored"))["lost"] == []
    with Server({"auth": {"none": {}}}, data=tmp_path / "restored") as server:
        answer = Client.of(server).request("GET", "/v2/a/b/manifests/one")
        assert answer.headers["docker-content-digest"] == digest
        blob = answer.json()["layers"][0]["digest"]
        assert Client.of(server).request("GET", f"/v2/a/b/blobs/{blob}").body == layer
        assert Client.of(server).request("GET", "/v2/a/b/manifests/two").status == 200


def test_a_registry_is_backed_up_into_azure_and_restored(azurite: Azurite, tmp_path: Path) -> None:
    """The account is the one that `backup.azure` names; without it the command says so."""
    values = azure_values(azurite, azurite.make_container())
    target = f"azure://{values.pop('container')}/registry"
    with Server({"auth": {"none": {}}, "backup": {"azure": values}}) as server:
        where = ("--config", str(server.folder / "config.yml"))
        digest = Client.of(server).push_image("a/b", "one", os.urandom(9 << 20))
        made = json.loads(server.run("backup", "create", target, "--json", *where))
        assert (made["new_blobs"], made["lost"]) == (2, [])
        assert json.loads(server.run("backup", "verify", target, "--json", *where))[0]["faults"] == []
        server.run("backup", "restore", target, str(tmp_path / "restored"), *where)
        command = [str(Path(sys.executable).parent / "entrepot"), "backup", "list", target]
        unsaid = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (unsaid.returncode, "backup.azure" in unsaid.stderr) == (1, True)
    with Server({"auth": {"none": {}}}, data=tmp_path / "restored") as server:
        answer = Client.of(server).request("GET", "/v2/a/b/manifests/one")
        assert answer.headers["docker-content-digest"] == digest
