"""The first start on a large folder of registry:2 answers at once, and people work while the rest is adopted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.seed import write_registry2_tree
from tests.support.http_client import Client
from tests.support.server import Server

OPEN = {"auth": {"none": {}}, "log": {"accesslog": {"disabled": True}}}
ADOPTED = "the folder is adopted"
LARGE = [
    pytest.param(1, 1_500),
    *(pytest.param(*shape, marks=pytest.mark.full) for shape in ((200, 100), (1, 20_000))),
]


class Clock:
    """Remembers how long things took."""

    def __init__(self) -> None:
        self.took: list[float] = []

    def measure(self, work: Callable[[], object]) -> None:
        """Do something."""
        begun = time.monotonic()
        work()
        self.took.append(time.monotonic() - begun)


@pytest.mark.parametrize(("repositories", "tags"), LARGE)
def test_nobody_waits_for_an_adoption(repositories: int, tags: int, tmp_path: Path) -> None:
    """Pulls of anything, pushes elsewhere and the catalog are quick from the first second; a minute and all is in."""
    write_registry2_tree(tmp_path / "registry", repositories=repositories, tags=tags)
    name = "team0/app0"
    with Server(OPEN, data=tmp_path / "registry") as server:
        begun = time.monotonic()
        client = Client.of(server)

        pulls, pushes, number = Clock(), Clock(), tags - 1
        while ADOPTED not in server.logs():
            assert time.monotonic() - begun < 60, server.logs()
            pulls.measure(partial(_pull, client, f"/v2/{name}/manifests/v{number % tags}"))
            pushes.measure(partial(client.push_image, "busy/app", f"t{number}", layer=b"%d" % number))
            number += 37
        assert max(pulls.took) < 1.0, sorted(pulls.took)[-5:]
        assert max(pushes.took) < 2.0, sorted(pushes.took)[-5:]
        assert client.request("GET", "/v2/_catalog?n=1000").json()["repositories"][0] == "busy/app"
        assert len(client.request("GET", f"/v2/{name}/tags/list?n=100000").json()["tags"]) == min(tags, 1000)
    shutil.rmtree(tmp_path / "registry")


def _pull(client: Client, path: str) -> None:
    assert client.request("GET", path).status == 200
