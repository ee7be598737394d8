"""BuildKit pushes what it builds: an index with attestations, layers in zstd, and its cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.docker import Docker
from tests.support.http_client import eventually
from tests.support.places import Place
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal
from tests.support.tools import find_tool

#: Run again, the second step would give another image: only a cache gives the same one.
TEXT = """\
FROM scratch
COPY busybox /bin/sh
RUN ["/bin/sh", "-c", "read up idle < /proc/uptime; echo built $up > /text"]
CMD ["/bin/sh", "-c", "read line < /text; echo $line"]
"""


@pytest.fixture
def builder(engines: Callable[[str], str], terminal: Terminal) -> Iterator[Docker]:
    """Give the engine whose store keeps indexes, as building with attestations needs."""
    made = Docker(socket=engines("containerd"), store="containerd", terminal=terminal)
    yield made
    made.run("buildx", "prune", "--all", "--force")
    made.forget()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Give a folder to build from."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(TEXT, encoding="utf-8")
    (folder / "busybox").write_bytes(find_tool("busybox").read_bytes())
    (folder / "busybox").chmod(0o755)
    return folder


def build(builder: Docker, context: Path, place: Place, *options: str) -> str:
    """Build and push; gives what BuildKit said of each step."""
    output = f"type=image,name={place.address}/buildx/app:1,push=true,oci-mediatypes=true"
    zstd = "compression=zstd,force-compression=true"
    words = ("--network=none", "--progress=plain", "--provenance=mode=max", *options, "--output", f"{output},{zstd}")
    return builder.terminal.said("docker", "--host", builder.socket, "buildx", "build", *words, context)


def manifest(skopeo: Skopeo, name: str) -> dict[str, Any]:
    """Read a manifest as it is stored."""
    found: dict[str, Any] = json.loads(skopeo.about("inspect", name, "--raw"))
    return found


def digest_after(builder: Docker, context: Path, place: Place, *options: str) -> str:
    """Build once more, with an engine that has forgotten everything; gives the digest of the image."""
    builder.run("buildx", "prune", "--all", "--force")
    builder.forget()
    build(builder, context, place, *options)
    skopeo = Skopeo(builder.terminal, place)
    return str(manifest(skopeo, "buildx/app:1")["manifests"][0]["digest"])


def test_an_attestation_index_with_zstd_layers_and_a_cache(builder: Docker, place: Place, context: Path) -> None:
    """The pushed index names its attestation; layers are zstd; an emptied builder finds every step in the cache."""
    builder.login(place)
    cache = f"type=registry,ref={place.address}/buildx/cache:1"
    build(builder, context, place, "--cache-to", f"{cache},mode=max")

    skopeo = Skopeo(builder.terminal, place)
    skopeo.login()
    image, attestation = manifest(skopeo, "buildx/app:1")["manifests"]
    assert attestation["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert attestation["annotations"]["vnd.docker.reference.digest"] == image["digest"]
    layers = manifest(skopeo, f"buildx/app@{image['digest']}")["layers"]
    assert {layer["mediaType"] for layer in layers} == {"application/vnd.oci.image.layer.v1.tar+zstd"}
    statement = manifest(skopeo, f"buildx/app@{attestation['digest']}")["layers"]
    assert {layer["mediaType"] for layer in statement} == {"application/vnd.in-toto+json"}
    assert "vnd.buildkit" in manifest(skopeo, "buildx/cache:1")["manifests"][-1]["mediaType"]

    assert digest_after(builder, context, place) != image["digest"]
    assert digest_after(builder, context, place, "--cache-from", cache) == image["digest"]


def test_what_was_built_can_be_pulled_and_run(builder: Docker, place: Place, context: Path) -> None:
    """The index with its attestation is pulled by an engine that has nothing of it, and the image runs."""
    builder.login(place)
    build(builder, context, place)
    builder.run("buildx", "prune", "--all", "--force")
    builder.forget()
    name = f"{place.address}/buildx/app:1"
    builder.run("pull", "--quiet", name)
    builder.run("run", "--detach", "--name", "app", "--network", "none", name)
    try:
        assert builder.run("wait", "app") == "0"
        eventually(lambda: builder.run("logs", "app")[:6] == "built ", 10, "the engine's log of the container")
    finally:
        builder.run("rm", "app")
    skopeo = Skopeo(builder.terminal, place)
    skopeo.login()
    known = json.loads(builder.run("image", "inspect", "--format", "{{json .RepoDigests}}", name))
    assert known == [f"{place.address}/buildx/app@{skopeo.digest('buildx/app:1')}"]
