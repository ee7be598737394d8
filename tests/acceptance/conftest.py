"""Registries, terminals and images that the tests of real clients share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support import images
from tests.support.network import Network, private_network
from tests.support.places import Place, htpasswd_place, login_place, open_place, tls_place
from tests.support.terminal import Terminal

#: How people run a registry; most tests of clients run against each of these.
PLACES: dict[str, Callable[[Network, Path], AbstractContextManager[Place]]] = {
    "login": lambda network, _: login_place(network),
    "tls": tls_place,
    "htpasswd": htpasswd_place,
    "open": lambda network, _: open_place(network),
}


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Give the network in which all these servers and clients are."""
    with private_network() as made:
        yield made


@pytest.fixture(scope="session", params=PLACES)
def place(
    request: pytest.FixtureRequest, network: Network, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Give a registry of each kind in turn."""
    with PLACES[request.param](network, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(scope="session")
def login_registry(network: Network) -> Iterator[Place]:
    """Give a registry as it runs without any file, for what need not be shown at each kind."""
    with login_place(network) as made:
        yield made


@pytest.fixture
def terminal(tmp_path: Path, network: Network, request: pytest.FixtureRequest) -> Terminal:
    """Give a terminal with an empty home, that trusts the registry of the test."""
    name = "place" if "place" in request.fixturenames else "login_registry"
    place: Place = request.getfixturevalue(name)
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True, mode=0o700)
    return Terminal(home=home, network=network, more=place.trust())


@pytest.fixture(scope="session")
def debian() -> Path:
    """Give a layout with a Debian image of five layers and more than 120 MB."""
    layout = images.debian()
    layers = [blob.stat().st_size for blob in (layout / "blobs" / "sha256").iterdir()]
    assert len(layers) == 5 + 2
    assert sum(layers) >= 120_000_000
    return layout


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a layout with a small image that runs and prints `hello`."""
    layout = tmp_path_factory.mktemp("images") / "busybox"
    images.busybox(layout)
    return layout


@pytest.fixture(scope="session")
def multi_architecture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a layout with an index of small images for three architectures."""
    layout = tmp_path_factory.mktemp("images") / "multi"
    images.multi_architecture(layout)
    return layout


@pytest.fixture(scope="session")
def sha512(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a layout with a small image whose digests are all sha512."""
    layout = tmp_path_factory.mktemp("images") / "sha512"
    images.sha512(layout)
    return layout
