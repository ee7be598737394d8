"""The Docker engine, in both of its image stores, does with us what it does with registry:2."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

from tests.support.container_storage import container_storage
from tests.support.docker import Docker
from tests.support.places import REFUSAL, Place
from tests.support.skopeo import Skopeo

PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")


def push(docker: Docker, name: str) -> str:
    """Push an image, and give the digest that the engine says was pushed."""
    found = PUSHED.search(docker.run("push", name))
    assert found, "docker push did not name a digest"
    return found[1]


def digests(docker: Docker, name: str) -> set[str]:
    """List the digests by which the engine knows an image."""
    return set(json.loads(docker.run("image", "inspect", "--format", "{{json .RepoDigests}}", name)))


def assert_round_trip(docker: Docker, place: Place, layout: Path, name: str) -> str:
    """Push an image, forget it and pull it: engine and registry name one digest throughout. Gives the digest."""
    full = f"{place.address}/{name}"
    docker.load(layout, "local:1")
    docker.run("tag", "local:1", f"{full}:1")
    pushed = push(docker, f"{full}:1")
    assert pushed == digest_at(docker, place, f"{name}:1")
    docker.forget()
    docker.run("pull", "--quiet", f"{full}:1")
    assert digests(docker, f"{full}:1") == {f"{full}@{pushed}"}
    return pushed


def digest_at(docker: Docker, place: Place, name: str) -> str:
    """Ask the registry by another client."""
    skopeo = Skopeo(docker.terminal, place)
    skopeo.login()
    return skopeo.digest(name)


def test_an_image_goes_up_comes_back_and_runs(docker: Docker, place: Place, busybox: Path) -> None:
    """After a login an image is tagged, pushed, pulled, run, inspected and pulled by its digest."""
    docker.login(place)
    name = f"docker-{docker.store}/hello"
    digest = assert_round_trip(docker, place, busybox, name)
    full = f"{place.address}/{name}"
    assert docker.run("run", "--rm", "--network", "none", f"{full}:1") == "hello"
    options = ("--insecure",) if place.plain else ()
    manifest = json.loads(docker.run("manifest", "inspect", *options, f"{full}:1"))
    assert len(manifest["layers"]) == 2
    docker.forget()
    docker.run("pull", "--quiet", f"{full}@{digest}")
    assert digests(docker, f"{full}@{digest}") == {f"{full}@{digest}"}


def test_a_large_image_goes_up_and_comes_back(docker: Docker, login_place: Place, debian: Path) -> None:
    """A Debian of five layers is pushed and pulled under one digest."""
    docker.login(login_place)
    assert_round_trip(docker, login_place, debian, f"docker-{docker.store}/debian")


def test_who_is_not_known_is_refused(docker: Docker, place: Place, busybox: Path) -> None:
    """A wrong password cannot log in; nobody pushes or pulls before a login or after a logout, except where all may."""
    name = f"{place.address}/docker-{docker.store}/guarded:1"
    docker.load(busybox, name)
    if place.login is None:
        push(docker, name)
        return
    words = ("login", "--username", place.login[0], "--password-stdin", place.address)
    assert REFUSAL.search(docker.refused(*words, given="wrong"))
    assert REFUSAL.search(docker.refused("push", name))
    docker.login(place)
    push(docker, name)
    docker.run("logout", place.address)
    assert REFUSAL.search(docker.refused("push", name))
    docker.forget()
    assert REFUSAL.search(docker.refused("pull", name))


def test_a_login_leaves_the_password_for_podman_and_for_a_pull_by_auth_alone(
    docker: Docker, login_place: Place, busybox: Path, tmp_path: Path
) -> None:
    """Docker's configuration has name and password after a login: Podman pulls with it, and who has its `auth`."""
    assert login_place.login is not None
    docker.login(login_place)
    file = docker.terminal.home / ".docker/config.json"
    kept = json.loads(file.read_text())["auths"][login_place.address]
    assert kept == {"auth": base64.b64encode(":".join(login_place.login).encode()).decode()}
    name = f"docker-{docker.store}/kept"
    docker.load(busybox, f"{login_place.address}/{name}:1")
    pushed = push(docker, f"{login_place.address}/{name}:1")
    with container_storage(docker.terminal, tmp_path / "containers") as terminal:
        options = ("--quiet", "--tls-verify=false", "--authfile", file)
        assert terminal.run("podman", "pull", *options, f"{login_place.address}/{name}:1")
    basic = f"Authorization: Basic {kept['auth']}"
    head = docker.terminal.run("curl", "-fsSI", "-H", basic, f"{login_place.server.url}/v2/{name}/manifests/1")
    assert pushed in head


def test_layers_are_mounted_from_another_repository(docker: Docker, login_place: Place, busybox: Path) -> None:
    """A second repository takes its layers from the first: the engine says so, and sends none."""
    docker.login(login_place)
    name = f"{login_place.address}/docker-{docker.store}"
    docker.load(busybox, f"{name}/first:1")
    first = push(docker, f"{name}/first:1")
    docker.run("tag", f"{name}/first:1", f"{name}/second:1")
    said = docker.run("push", f"{name}/second:1")
    assert f"digest: {first}" in said
    if docker.store == "classic":  # the other one says nothing about it
        assert said.count(f"Mounted from docker-{docker.store}/first") == 2
