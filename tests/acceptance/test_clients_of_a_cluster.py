"""Docker, Podman and containerd at HAProxy, as `deploy/` has it, before three nodes on PostgreSQL and S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.test_containerd import Ctr, socket
from tests.acceptance.test_docker import assert_round_trip
from tests.support.certificates import Identity, identity
from tests.support.container_storage import container_storage
from tests.support.docker import Docker
from tests.support.layout import digest_in
from tests.support.network import ADDRESS, Network
from tests.support.object_stores import s3_values
from tests.support.passage import Passage, passage
from tests.support.places import Place
from tests.support.postgres import PostgresServer
from tests.support.replicas import documented_proxy
from tests.support.seaweedfs import SeaweedFs
from tests.support.server import ADMIN_PASSWORD, Server
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal

__all__ = ["socket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Place):
    """Three nodes, known by the address of what is before them."""

    nodes: tuple[Server, ...]
    outside: str  #: HOST:PORT of the proxy
    store: Passage  #: what clients ask the store
    redirects: bool  #: whether they are sent there

    @property
    def address(self) -> str:
        """HOST:PORT, as clients name it."""
        return self.outside

    def assert_shared(self) -> None:
        """Every node answered something, and the layers came from where they should."""
        assert all('"/v2/' in node.logs() or " /v2/" in node.logs() for node in self.nodes)
        fetched = [line for line in self.store.requests if line.startswith("GET ")]
        self.store.requests.clear()
        assert bool(fetched) == self.redirects
        assert all("X-Amz-Signature=" in line for line in fetched)


@contextmanager
def three_nodes(database: str, storage: dict[str, object]) -> Iterator[tuple[Server, ...]]:
    """Start three nodes at the same instant, which have the database, the bucket and the secret key in common."""
    made = tuple(Server({"storage": storage}, database=database, workers=1, start=False) for _ in range(3))
    with ExitStack() as stack:
        for node in made:
            stack.enter_context(node).start(wait=False)
        for node in made:
            node.wait_until_ready()
        yield made


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.full)], ids=["redirects", "none"])
def cluster(
    request: pytest.FixtureRequest,
    network: Network,
    signer: Identity,
    postgres: PostgresServer,
    seaweedfs: SeaweedFs,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """Give a cluster that sends clients to the store, and one that does not."""
    folder = tmp_path_factory.mktemp("cluster")
    certificate = folder / "proxy.pem"
    identity("registry", signer, ADDRESS).write(certificate, Path(f"{certificate}.key"))
    with (
        passage(network, seaweedfs.port, ADDRESS) as store,
        postgres.database() as database,
        three_nodes(
            database,
            {
                "s3": s3_values(seaweedfs) | {"redirectendpoint": f"http://{store.address}"},
                "delete": {"enabled": True},
                "redirect": {"disable": not request.param},
            },
        ) as nodes,
        documented_proxy("haproxy", folder, nodes, certificate) as url,
        passage(network, int(url.rpartition(":")[2]), ADDRESS) as outside,
    ):
        yield Cluster(
            kind="cluster",
            server=nodes[0],
            login=("admin", ADMIN_PASSWORD),
            plain=False,
            nodes=nodes,
            outside=outside.address,
            store=store,
            redirects=request.param,
        )


def test_docker(docker: Docker, cluster: Cluster, busybox: Path) -> None:
    """The Docker engine, in both of its stores, logs in, pushes, pulls and runs."""
    docker.login(cluster)
    name = f"docker-{docker.store}/hello"
    assert_round_trip(docker, cluster, busybox, name)
    assert docker.run("run", "--rm", "--network", "none", f"{cluster.address}/{name}:1") == "hello"
    cluster.assert_shared()


def test_podman(terminal: Terminal, tmp_path: Path, cluster: Cluster, busybox: Path) -> None:
    """Podman pulls what Skopeo pushed, pushes it under another name, and pulls that."""
    skopeo = Skopeo(terminal, cluster)
    skopeo.login()
    skopeo.to_registry(busybox, "podman/hello:1")
    first, second = (f"{cluster.address}/podman/{name}:1" for name in ("hello", "copied"))
    with container_storage(terminal, tmp_path / "containers") as engine:
        engine.run("podman", "login", "--username", "admin", "--password-stdin", cluster.address, given=ADMIN_PASSWORD)
        engine.run("podman", "pull", "--quiet", first)
        engine.run("podman", "push", "--quiet", first, second)
        engine.run("podman", "rmi", "--all", "--force")
        engine.run("podman", "pull", "--quiet", second)
        assert engine.run("podman", "image", "inspect", "--format", "{{.Digest}}", second) == skopeo.digest(
            "podman/copied:1"
        )
    cluster.assert_shared()


@pytest.mark.parametrize("image", ["busybox", pytest.param("debian", marks=pytest.mark.full)])
def test_containerd(
    image: str, terminal: Terminal, socket: Path, cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    """containerd pulls, pushes under another name, forgets and pulls again: a small image and one of 120 MB."""
    layout: Path = request.getfixturevalue(image)
    skopeo, ctr = Skopeo(terminal, cluster), Ctr(terminal, socket, cluster)
    skopeo.login()
    skopeo.to_registry(layout, f"ctr/{image}:1")
    ctr.pull(f"ctr/{image}:1")
    ctr.push(f"copied/{image}:1", ctr.named(f"ctr/{image}:1"))
    ctr.forget()
    ctr.pull(f"copied/{image}:1")
    assert ctr.digest(ctr.named(f"copied/{image}:1")) == digest_in(layout)
    ctr.forget()
    cluster.assert_shared()
