"""A database brought back from an hour ago beside a bucket that went on: every gap is named, nothing wrong served."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.acknowledged import digest_of
from tests.support.http_client import Client
from tests.support.object_stores import s3_values
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import Server


def doctor(server: Server, config: str) -> dict[str, Any]:
    """Make a check-up of everything."""
    try:
        return dict(json.loads(server.run("doctor", "--json", "--config", config)))
    except AssertionError as error:
        text = str(error)
        return dict(json.loads(text[text.index("{") : text.rindex("}") + 1]))


def test_a_database_older_than_its_store(seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    """What was deleted since is named and answered 404; what was pushed since is named, and can be pushed again."""
    state = tmp_path / "state"
    text = yaml.safe_dump(
        {
            "version": "0.1",
            "storage": {"s3": s3_values(seaweedfs), "delete": {"enabled": True}, "redirect": {"disable": True}},
            "metadata": {"folder": str(state)},
            "lifecycle": {"trash": "0s", "grace": "1s"},
        }
    )
    with Server(text=text) as server:
        config, client = str(server.folder / "config.yml"), Client.of(server)
        kept = os.urandom(70_000)
        client.push_image("a/b", "kept", kept)
        gone = client.push_image("a/b", "gone", b"deleted since")
        server.stop()
        assert doctor(server, config)["problems"] == []
        shutil.copytree(state, tmp_path / "an-hour-ago")
        server.start()
        assert client.request("DELETE", f"/v2/a/b/manifests/{gone}").status == 202
        server.run("gc", "--now", "--config", config)
        client.push_image("a/b", "since", b"pushed since")
        server.stop()
        shutil.rmtree(state)
        (tmp_path / "an-hour-ago").rename(state)
        found = doctor(server, config)
        lost = digest_of(b"deleted since")
        assert [(one["what"], one["subject"]) for one in found["problems"]] == [("blob missing", lost)]
        assert (found["stray"], len(found["strays"])) == (1, 1)
        server.start()
        pulled = client.request("GET", "/v2/a/b/manifests/kept").json()["layers"][0]["digest"]
        assert client.request("GET", f"/v2/a/b/blobs/{pulled}").body == kept
        assert client.request("GET", f"/v2/a/b/blobs/{lost}").status == 404
        assert client.request("GET", "/v2/a/b/manifests/since").status == 404
        for tag, layer in (("gone", b"deleted since"), ("since", b"pushed since")):
            client.push_image("a/b", tag, layer)
            assert client.request("GET", f"/v2/a/b/blobs/{digest_of(layer)}").body == layer
        server.stop()
        assert doctor(server, config)["problems"] == []
