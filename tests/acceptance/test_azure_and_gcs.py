"""A registry whose blobs lie in Azure Blob Storage, or in a stand-in for Google Cloud Storage, as clients use it."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from tests.acceptance.test_s3 import image, skopeo
from tests.support.azurite import ACCOUNT, KEY, Azurite
from tests.support.fake_gcs import FakeGcs
from tests.support.http_client import Client
from tests.support.object_stores import azure_values
from tests.support.pages import EXAMPLE, Page, blocks
from tests.support.server import Server, ServerFailed
from tests.support.store_faults import StoreProxy, store_proxy

MIB = 1 << 20
SMALL, LARGE = 100_000, 30 * MIB
#: A configuration and a small layer, one request each; and a large one as blocks, or as pieces of a session.
COSTS = {
    "azure": {"PutBlob": 2, "PutBlock": 4, "PutBlockList": 1},
    "gcs": {"InsertObject": 2, "StartUpload": 1, "UploadChunk": 4, "QueryUpload": 1},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An empty bucket or container, and the proxy that counts what is asked of it."""

    kind: str
    proxy: StoreProxy
    section: dict[str, Any]
    env: dict[str, str]

    def config(self, state: Path, **storage: object) -> str:
        """Write a configuration, with SQLite in a folder of this machine."""
        return yaml.safe_dump(
            {
                "version": "0.1",
                "storage": {self.kind: self.section, "delete": {"enabled": True}, **storage},
                "metadata": {"folder": str(state)},
            }
        )

    def server(self, state: Path, **storage: object) -> Server:
        """Run a registry."""
        return Server(text=self.config(state, **storage), env=self.env)


@pytest.fixture(params=["azure", "gcs"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Give an empty place of each kind."""
    if request.param == "gcs":
        gcs: FakeGcs = request.getfixturevalue("fake_gcs")
        section = {"bucket": gcs.make_bucket(), "rootdirectory": "/registry"}
        gcs.proxy.heal()
        yield Place(kind="gcs", proxy=gcs.proxy, section=section, env={"STORAGE_EMULATOR_HOST": gcs.url})
        return
    azurite: Azurite = request.getfixturevalue("azurite")
    with store_proxy("azure", azurite.port) as proxy:
        values = azure_values(azurite, azurite.make_container())
        values["serviceurl"] = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
        yield Place(kind="azure", proxy=proxy, section=values, env={})


def asked(proxy: StoreProxy) -> Counter[str]:
    """Give what the store was asked about blobs since the last time."""
    about = [seen.operation for seen in proxy.seen if "entrepot/blobs/" in unquote(seen.asked.target)]
    proxy.seen.clear()
    return Counter(name for name in about if not name.startswith("List"))  # which the job worker does by itself


def test_push_pull_and_what_they_cost(place: Place, tmp_path: Path) -> None:
    """Skopeo's image comes back whole; a small blob is one request, a second tag and a mount none, a pull of a layer
    is sent on to Azure.
    """
    layout = image(tmp_path / "image", SMALL, LARGE)
    sizes = {blob.name: blob.stat().st_size for blob in (layout / "blobs" / "sha256").iterdir()}
    layers = [name for name, size in sizes.items() if size >= SMALL]
    with place.server(tmp_path / "state") as server:
        client = Client.of(server)
        asked(place.proxy)
        at = f"docker://{server.address}"
        skopeo(f"oci:{layout}:latest", f"{at}/team/app:v1")
        assert asked(place.proxy) == COSTS[place.kind]
        skopeo(f"oci:{layout}:latest", f"{at}/team/app:v2")
        for name in sizes:
            client.request("POST", f"/v2/team/other/blobs/uploads/?mount=sha256:{name}&from=team/app")
        assert asked(place.proxy) == {}
        skopeo(f"{at}/team/app:v1", f"dir:{tmp_path / 'pulled'}")
        for name in layers:
            assert hashlib.sha256((tmp_path / "pulled" / name).read_bytes()).hexdigest() == name
        answer = client.request("GET", f"/v2/team/app/blobs/sha256:{layers[0]}")
        if place.kind == "azure":
            assert (answer.status, "sig=" in answer.location) == (307, True)
            assert answer.headers["cache-control"] == "no-store"
        else:
            assert answer.status == 200, "without a key nobody signs for clients"


def test_an_upload_goes_on_in_another_process_after_a_kill(place: Place, tmp_path: Path) -> None:
    """What a killed server had acknowledged is there for the next one, which sends the blob itself if it is told to."""
    data = random.Random(2).randbytes(LARGE)
    parts = (data[: 12 * MIB], data[12 * MIB : 13 * MIB], data[13 * MIB :])
    with place.server(tmp_path / "state") as first:
        client = Client.of(first)
        at, sent = client.request("POST", "/v2/team/app/blobs/uploads/").location, 0
        for part in parts[:2]:
            span = {"Content-Range": f"{sent}-{sent + len(part) - 1}"}
            answer = client.request("PATCH", at, body=part, headers=span)
            assert answer.status == 202
            at, sent = answer.location, sent + len(part)
        os.kill(first.pid, 9)
    with place.server(tmp_path / "state", redirect={"disable": True}) as second:
        client = Client.of(second)
        answer = client.request("GET", at)
        assert (answer.status, answer.headers["range"]) == (204, f"0-{sent - 1}")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        answer = client.request("PATCH", at, body=parts[2], headers={"Content-Range": f"{sent}-{len(data) - 1}"})
        mark = "&" if "?" in answer.location else "?"
        assert client.request("PUT", f"{answer.location}{mark}digest={digest}").status == 201
        whole = client.request("GET", f"/v2/team/app/blobs/{digest}")
        assert (whole.status, whole.body) == (200, data)
        part = client.request("GET", f"/v2/team/app/blobs/{digest}", headers={"Range": "bytes=5000000-20999999"})
        assert (part.status, part.body) == (206, data[5_000_000:21_000_000])


def test_a_start_that_cannot_succeed_says_why(azurite: Azurite, tmp_path: Path) -> None:
    """The message names the place, and what to do."""
    section = azure_values(azurite, azurite.make_container()) | {"accountkey": KEY[:-6] + "AAAA=="}
    config = {"version": "0.1", "storage": {"azure": section}, "metadata": {"folder": str(tmp_path / "state")}}
    says = f"the container {section['container']} cannot be used: .*check name and key of the account"
    with pytest.raises(ServerFailed, match=says):
        Server(text=yaml.safe_dump(config))


PAGES = {"azure": "how-to/blobs-in-azure.md", "gcs": "how-to/blobs-in-google-cloud-storage.md"}


def test_the_how_to_pages_lead_there(place: Place, tmp_path: Path) -> None:
    """Whoever writes the page's configuration and follows its commands has pushed and pulled an image."""
    page = yaml.safe_load(
        next(block for block in blocks(PAGES[place.kind], "yaml") if block.startswith("# config.yml"))
    )
    named = page["storage"][place.kind]
    assert named.keys() <= place.section.keys() | {"keyfile"}
    page["storage"][place.kind] = place.section
    page["metadata"] = {"folder": str(tmp_path / "state")}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(page))
    image(tmp_path / "image", SMALL)
    with Server(text=yaml.safe_dump(page), env=place.env) as server:
        here = {EXAMPLE: server.address, '"admin:$PASSWORD"': "nobody:needed", "oci:image": "oci:image:latest"}
        followed = Page(PAGES[place.kind], tmp_path, here, environ=place.env)
        followed.run()
        assert Client.of(server).request("GET", "/v2/library/image/tags/list").json()["tags"] == ["1"]
