"""Registries, terminals and images that the tests of real clients share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.support import images
from tests.support.certificates import Identity, authority
from tests.support.database_fixtures import postgres
from tests.support.docker import STORES, Docker, docker_engine
from tests.support.network import Network, private_network
from tests.support.places import Place, run_open, run_with_htpasswd, run_with_login, run_with_tls
from tests.support.terminal import Terminal, open_terminal

__all__ = ["postgres"]

#: How people run a registry; most tests of clients run against each of these.
PLACES: dict[str, Callable[[Network, Path, Identity], AbstractContextManager[Place]]] = {
    "login": lambda network, _, __: run_with_login(network),
    "tls": run_with_tls,
    "htpasswd": lambda network, folder, _: run_with_htpasswd(network, folder),
    "open": lambda network, _, __: run_open(network),
}


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Give the network in which all these servers and clients are."""
    with private_network() as made:
        yield made


@pytest.fixture(scope="session")
def signer() -> Identity:
    """Give the authority whose certificates all clients trust."""
    return authority()


@pytest.fixture(scope="session")
def trust(signer: Identity, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the environment of a client that has the authority in its system's store."""
    folder = tmp_path_factory.mktemp("authority")
    signer.write(folder / "ca.pem", folder / "ca.key")
    return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(folder / "ca.pem"))


@pytest.fixture(scope="session")
def places(
    network: Network, signer: Identity, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Place]]:
    """Give a function that starts a registry of a kind when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def started(kind: str) -> Place:
            return stack.enter_context(PLACES[kind](network, tmp_path_factory.mktemp(kind), signer))

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
def terminal(tmp_path: Path, network: Network, trust: dict[str, str]) -> Terminal:
    """Give a terminal with an empty home."""
    return open_terminal(tmp_path / "home", network, trust)


@pytest.fixture(scope="session")
def engines(
    network: Network, trust: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """Give a function that starts a Docker engine with a store when it is first asked for, and gives its socket."""
    folder = tmp_path_factory.mktemp("engines")
    terminal = open_terminal(folder / "home", network, trust)
    with ExitStack() as stack:

        @cache
        def started(store: str) -> str:
            return stack.enter_context(docker_engine(terminal, folder / store, store))

        yield started


@pytest.fixture(params=STORES)
def docker(request: pytest.FixtureRequest, engines: Callable[[str], str], terminal: Terminal) -> Iterator[Docker]:
    """Give an engine with each store in turn, holding no image, and a client that is not logged in."""
    made = Docker(socket=engines(request.param), store=request.param, terminal=terminal)
    yield made
    made.forget()


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


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    """Give a folder with two pairs of keys of cosign's."""
    folder = tmp_path_factory.mktemp("keys")
    terminal = open_terminal(folder / "home", network, {"COSIGN_PASSWORD": ""})
    for name in ("right", "wrong"):
        terminal.run("cosign", "generate-key-pair", "--output-key-prefix", folder / name)
    return folder
