"""Registries, terminals and images that the tests of real clients share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.support import images
from tests.support.network import Network, private_network
from tests.support.places import Place, run_open, run_with_htpasswd, run_with_login, run_with_tls
from tests.support.terminal import Terminal

#: How people run a registry; most tests of clients run against each of these.
PLACES: dict[str, Callable[[Network, Path], AbstractContextManager[Place]]] = {
    "login": lambda network, _: run_with_login(network),
    "tls": run_with_tls,
    "htpasswd": run_with_htpasswd,
    "open": lambda network, _: run_open(network),
}


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Give the network in which all these servers and clients are."""
    with private_network() as made:
        yield made


@pytest.fixture(scope="session")
def places(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Place]]:
    """Give a function that starts a registry of a kind when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def started(kind: str) -> Place:
            return stack.enter_context(PLACES[kind](network, tmp_path_factory.mktemp(kind)))

        yield started


@pytest.fixture(scope="session", params=PLACES)
def place(request: pytest.FixtureRequest, places: Callable[[str], Place]) -> Place:
    """Give a registry of each kind in turn."""
    return places(request.param)


@pytest.fixture(scope="session")
def login_place(places: Callable[[str], Place]) -> Place:
    """Give a registry as it runs without any file, for what need not be shown at each kind."""
    return places("login")


@pytest.fixture
def terminal(tmp_path: Path, network: Network, request: pytest.FixtureRequest) -> Terminal:
    """Give a terminal with an empty home, that trusts the registry of the test."""
    place: Place = request.getfixturevalue("place" if "place" in request.fixturenames else "login_place")
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True, mode=0o700)
    (home / "auth.json").write_text("{}", encoding="utf-8")  # some refuse to start without the file that is named
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
