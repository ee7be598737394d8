"""Skopeo copies, lists, looks, deletes and synchronises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.layout import blob_names, digest_in
from tests.support.places import REFUSAL, Place
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal


@pytest.fixture
def skopeo(terminal: Terminal, place: Place) -> Skopeo:
    """Give Skopeo, logged in."""
    made = Skopeo(terminal, place)
    made.login()
    return made


def test_a_large_image_goes_up_and_comes_back(skopeo: Skopeo, debian: Path, tmp_path: Path) -> None:
    """A Debian of five layers is pushed and pulled: same digest, same blobs, each with the bytes it promises."""
    skopeo.to_registry(debian, "skopeo/debian:13")
    assert skopeo.digest("skopeo/debian:13") == digest_in(debian)
    skopeo.to_layout("skopeo/debian:13", tmp_path / "pulled")
    assert digest_in(tmp_path / "pulled") == digest_in(debian)
    assert blob_names(tmp_path / "pulled") == blob_names(debian)


def test_an_index_goes_up_and_comes_back_whole(skopeo: Skopeo, multi_architecture: Path, tmp_path: Path) -> None:
    """`copy --all` moves an index with the images of all architectures, unchanged."""
    skopeo.to_registry(multi_architecture, "skopeo/multi:1")
    raw = json.loads(skopeo.about("inspect", "skopeo/multi:1", "--raw"))
    assert [entry["platform"]["architecture"] for entry in raw["manifests"]] == ["amd64", "arm64", "riscv64"]
    skopeo.to_layout("skopeo/multi:1", tmp_path / "pulled")
    assert digest_in(tmp_path / "pulled") == digest_in(multi_architecture)
    assert blob_names(tmp_path / "pulled") == blob_names(multi_architecture)


def test_docker_schema_2_goes_up_and_comes_back(skopeo: Skopeo, busybox: Path, tmp_path: Path) -> None:
    """An image in Docker's own format keeps its format, its digest and its configuration."""
    skopeo.to_registry(busybox, "skopeo/v2s2:1", "--format", "v2s2")
    raw = skopeo.about("inspect", "skopeo/v2s2:1", "--raw")
    assert json.loads(raw)["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert "cat" in str(json.loads(skopeo.about("inspect", "skopeo/v2s2:1", "--config"))["config"]["Cmd"])
    before = skopeo.digest("skopeo/v2s2:1")
    source = f"docker://{skopeo.place.address}/skopeo/v2s2:1"
    verify = f"--src-tls-verify={str(not skopeo.place.plain).lower()}"
    skopeo.terminal.run("skopeo", "copy", "--quiet", "--preserve-digests", verify, source, f"dir:{tmp_path}/dir")
    assert skopeo.terminal.run("skopeo", "manifest-digest", tmp_path / "dir" / "manifest.json") == before


def test_tags_are_listed_and_deleted(skopeo: Skopeo, busybox: Path) -> None:
    """Every tag is listed; a deleted one is gone, with the image and whatever else named it."""
    for tag in ("1", "1.0", "latest"):
        skopeo.to_registry(busybox, f"skopeo/tags:{tag}")
    assert json.loads(skopeo.about("list-tags", "skopeo/tags"))["Tags"] == ["1", "1.0", "latest"]
    skopeo.about("delete", "skopeo/tags:1.0")
    assert "manifest unknown" in skopeo.terminal.refused("skopeo", *skopeo.words("inspect", "skopeo/tags:1.0"))


def test_a_repository_is_synchronised(skopeo: Skopeo, busybox: Path, multi_architecture: Path) -> None:
    """`sync` copies every tag of a repository, an index too, to another place with the same digests."""
    skopeo.to_registry(busybox, "skopeo/source:one")
    skopeo.to_registry(multi_architecture, "skopeo/source:all")
    skopeo.sync("skopeo/source", "skopeo-mirror")
    for tag in ("one", "all"):
        assert skopeo.digest(f"skopeo-mirror/source:{tag}") == skopeo.digest(f"skopeo/source:{tag}")


def test_who_is_not_known_is_refused(terminal: Terminal, place: Place, busybox: Path) -> None:
    """Without a login, with a wrong password and after a logout nothing is pushed, except where all may."""
    skopeo = Skopeo(terminal, place)
    if place.login is None:
        skopeo.to_registry(busybox, "skopeo/anybody:1")
        return
    assert REFUSAL.search(skopeo.to_registry_refused(busybox, "skopeo/refused:1"))
    said = skopeo.to_registry_refused(busybox, "skopeo/refused:1", "--dest-creds", f"{place.login[0]}:wrong")
    assert REFUSAL.search(said)
    skopeo.login()
    skopeo.to_registry(busybox, "skopeo/allowed:1")
    terminal.run("skopeo", "logout", place.address)
    assert REFUSAL.search(skopeo.to_registry_refused(busybox, "skopeo/refused:1"))
    skopeo.login()
    assert json.loads(skopeo.about("list-tags", "skopeo/allowed"))["Tags"] == ["1"]
    missing = terminal.refused("skopeo", *skopeo.words("list-tags", "skopeo/refused"))
    assert "name unknown" in missing
