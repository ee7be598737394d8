"""What real clients see of the trash: what they deleted is gone for them, and whole again when it is restored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cosign import MODES, Cosign
from tests.support.http_client import eventually
from tests.support.layout import digest_in
from tests.support.network import Network
from tests.support.places import Place
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal


@pytest.fixture(scope="module")
def short_grace(network: Network) -> Iterator[Place]:
    """Give a registry in which signatures and parts of an index follow within seconds what was deleted."""
    with Server(prefix=network.prefix, env={"REGISTRY_LIFECYCLE_GRACE": "1s"}) as server:
        yield Place(kind="login", server=server, login=("admin", ADMIN_PASSWORD))


@pytest.fixture
def skopeo(terminal: Terminal, short_grace: Place) -> Skopeo:
    """Give a Skopeo that is logged in."""
    made = Skopeo(terminal, short_grace)
    made.login()
    return made


def trash(place: Place, repository: str) -> list[Any]:
    """List what of a repository lies in the trash, the latest first."""
    found = json.loads(place.server.run("trash", "list", "--json", "--data", str(place.server.data)))
    return [item for item in found if item["repository"] == repository]


def restore(place: Place, repository: str, count: int = 1) -> Any:
    """Restore what had a tag, when it lies in the trash with all that follows it; return what the list said of it."""
    eventually(lambda: len(trash(place, repository)) == count, what=f"{count} manifests in the trash")
    (item,) = [item for item in trash(place, repository) if any(not tag.startswith("sha256-") for tag in item["tags"])]
    place.server.run("trash", "restore", str(item["id"]), "--data", str(place.server.data))
    return item


def test_skopeo_deletes_and_pulls_what_was_restored(skopeo: Skopeo, multi_architecture: Path, tmp_path: Path) -> None:
    """An index under two tags: unknown with its images, and after the restoration the same to the last byte."""
    for tag in ("1", "latest"):
        skopeo.to_registry(multi_architecture, f"trash/multi:{tag}")
    skopeo.to_layout("trash/multi:1", tmp_path / "before")
    skopeo.about("delete", "trash/multi:1")
    unknown = skopeo.terminal.refused("skopeo", *skopeo.words("inspect", "trash/multi:latest"))
    assert "manifest unknown" in unknown
    item = restore(skopeo.place, "trash/multi", 1 + 3)
    assert (item["digest"], sorted(item["tags"])) == (digest_in(multi_architecture), ["1", "latest"])
    skopeo.to_layout("trash/multi:latest", tmp_path / "after")
    assert _bytes(tmp_path / "after") == _bytes(tmp_path / "before")


@pytest.mark.parametrize("mode", ["referrer", pytest.param("tag", marks=pytest.mark.full)])
def test_a_signed_image_comes_back_with_its_signature(skopeo: Skopeo, busybox: Path, keys: Path, mode: str) -> None:
    """cosign verifies it as before, and with the right key alone; the signature went with its image and is back."""
    name = f"trash/{mode}"
    skopeo.to_registry(busybox, f"{name}:1")
    image = f"{skopeo.place.address}/{name}@{digest_in(busybox)}"
    cosign = Cosign(skopeo.terminal, skopeo.place)
    cosign.sign(keys / "right.key", image, *MODES[mode])
    before = cosign.verify(keys / "right.pub", image, *MODES[mode])
    skopeo.about("delete", f"{name}:1")
    restore(skopeo.place, name, 2)
    assert cosign.verify(keys / "right.pub", image, *MODES[mode]) == before
    cosign.verify_refused(keys / "wrong.pub", image, *MODES[mode])
    assert skopeo.digest(f"{name}:1") == digest_in(busybox)


def _bytes(layout: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}
