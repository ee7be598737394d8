"""A bucket that docker-registry filled is taken over where it lies, while it is asked, and given back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import images, registry2
from tests.support.http_client import Client
from tests.support.object_stores import s3_values
from tests.support.registry2 import Registry2
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import Server
from tests.support.store_faults import StoreProxy, store_proxy

STORAGE = {"delete": {"enabled": True}, "redirect": {"disable": True}}


@pytest.fixture
def s3(seaweedfs: SeaweedFs) -> dict[str, object]:
    """What registry:2's configuration says of a new bucket."""
    return {**s3_values(seaweedfs), "secure": False, "chunksize": 5 << 20}


@pytest.fixture
def theirs(tmp_path: Path, s3: dict[str, object]) -> Registry2:
    """docker-registry on it."""
    return Registry2(tmp_path / "registry2", storage={"s3": s3, **STORAGE})


@pytest.fixture
def proxy(seaweedfs: SeaweedFs) -> Iterator[StoreProxy]:
    """Give what counts our requests."""
    with store_proxy("s3", seaweedfs.port) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, s3: dict[str, object], proxy: StoreProxy) -> str:
    """The same configuration with a folder for SQLite."""
    return yaml.safe_dump(
        {
            "version": "0.1",
            "storage": {"s3": {**s3, "regionendpoint": f"http://127.0.0.1:{proxy.port}"}, **STORAGE},
            "metadata": {"folder": str(tmp_path / "state")},
            "lifecycle": {"trash": "0s"},
        }
    )


@pytest.fixture
def filled(theirs: Registry2, tmp_path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Everything that Skopeo pushed to docker-registry and pulls from it."""
    images.busybox(tmp_path / "layout")
    with theirs.running():
        for name in ("app:1", "team/app:1", "team/app:2", "team/app/deep:1"):
            registry2.push(tmp_path / "layout", theirs.address, name)
        return registry2.everything(theirs.address)


def test_a_bucket_is_adopted_while_it_is_asked_and_given_back(
    theirs: Registry2,
    config: str,
    proxy: StoreProxy,
    filled: dict[str, tuple[str, frozenset[str]]],
    tmp_path: Path,
) -> None:
    """docker-registry's images are pulled at once, new ones pushed, and docker-registry pulls all of it again."""
    with Server(text=config) as server:
        command = ("--config", str(server.folder / "config.yml"))
        assert registry2.whole(server.address, "team/app/deep:1") == filled["team/app/deep:1"]
        server.wait_for_log("the folder is adopted", 60)
        before = proxy.counts["ListObjects"]
        assert registry2.everything(server.address) == filled
        assert proxy.counts["ListObjects"] - before <= 1  # the look for what another registry wrote
        images.multi_architecture(tmp_path / "new")
        for name in ("team/new:1", "team/app:1"):
            registry2.push(tmp_path / "new", server.address, name)
        assert Client.of(server).request("DELETE", "/v2/team/app/manifests/2").status == 202
        wanted = registry2.everything(server.address)
        planned = json.loads(server.run(*command, "layout", "write", "--plan", "--json"))
        assert planned["blobs"] > 0
        assert planned["removed"] > 0
        server.stop()
        assert json.loads(server.run(*command, "layout", "write", "--json")) == planned
        server.run(*command, "layout", "check")
        with theirs.running():
            # By their names: SeaweedFS goes on listing folders that are empty, as those of tags that were deleted.
            assert {name: registry2.whole(theirs.address, name) for name in wanted} == wanted
            assert registry2.status(theirs.address, "team/app/manifests/2") == 404
            for name in ("team/new:1", "team/new:2"):
                registry2.push(tmp_path / "layout", theirs.address, name)
                wanted[name] = registry2.whole(theirs.address, name)
        server.run(*command, "adopt", "--delta")
        server.start()
        assert registry2.everything(server.address) == wanted
