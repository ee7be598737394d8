"""Adoption and projection are killed with -9 at any moment: started again they end as if nothing had been."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest

from benchmarks.seed import write_registry2_tree
from tests.support.http_client import Client, eventually
from tests.support.server import Server

REPOSITORIES = 40
TAGS = 20
REPOSITORIES_FOLDER = "docker/registry/v2/repositories"
OPEN = {"auth": {"none": {}}, "storage": {"delete": {"enabled": True}}, "log": {"accesslog": {"disabled": True}}}

#: What adoption wrote, without row ids and times.
CONTENT = {
    "repositories": "SELECT r.name, p.name, r.adopted FROM repositories r JOIN projects p ON p.id = r.project_id",
    "blobs": "SELECT digest, size, state, storage_key, review_after IS NULL FROM blobs",
    "held": "SELECT r.name, b.digest FROM repository_blobs h JOIN repositories r ON r.id = h.repository_id "
    "JOIN blobs b ON b.id = h.blob_id",
    "manifests": "SELECT r.name, m.digest, m.media_type, m.size FROM manifests m "
    "JOIN repositories r ON r.id = m.repository_id",
    "references": "SELECT m.digest, b.digest, f.role FROM manifest_blobs f JOIN manifests m ON m.id = f.manifest_id "
    "JOIN blobs b ON b.id = f.blob_id",
    "charges": 'SELECT p.name, b.digest, c."references" FROM project_blobs c JOIN projects p ON p.id = c.project_id '
    "JOIN blobs b ON b.id = c.blob_id",
    "tags": "SELECT r.name, t.name, m.digest FROM tags t JOIN manifests m ON m.id = t.manifest_id "
    "JOIN repositories r ON r.id = t.repository_id",
    "history": "SELECT r.name, h.name, h.digest, h.action, h.actor FROM tag_history h "
    "JOIN repositories r ON r.id = h.repository_id",
}


def _content(folder: Path) -> dict[str, Counter[tuple[object, ...]]]:
    with closing(sqlite3.connect(folder / "entrepot" / "metadata.db")) as database:
        return {name: Counter(database.execute(query).fetchall()) for name, query in CONTENT.items()}


def _manifests(folder: Path) -> int:
    """Count what is adopted so far; nothing while there are no tables yet."""
    path = folder / "entrepot" / "metadata.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as database, suppress(sqlite3.OperationalError):
        return int(database.execute("SELECT count(*) FROM manifests").fetchone()[0])
    return 0


def _adopt(folder: Path) -> subprocess.Popen[bytes]:
    command = [Path(sys.executable).parent / "entrepot", "adopt", "--json", folder]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _layout_is_clean(folder: Path) -> bool:
    command = [Path(sys.executable).parent / "entrepot", "layout", "check", folder]
    return subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == 0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder as registry:2 leaves it."""
    folder = tmp_path_factory.mktemp("tree") / "registry"
    write_registry2_tree(folder, repositories=REPOSITORIES, tags=TAGS)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tree: Path) -> dict[str, Counter[tuple[object, ...]]]:
    """Give what an adoption writes that nobody disturbs."""
    assert _adopt(tree).wait(120) == 0
    content = _content(tree)
    shutil.rmtree(tree / "entrepot")
    assert len(content["tags"]) == REPOSITORIES * TAGS
    return content


@pytest.mark.parametrize("kills", [6, pytest.param(40, marks=pytest.mark.full)])
def test_an_adoption_killed_again_and_again_ends_well(
    kills: int, tree: Path, undisturbed: dict[str, Counter[tuple[object, ...]]], tmp_path: Path
) -> None:
    """Everything is taken in, once: no reference, charge or line of history is doubled or lost."""
    folder, random = shutil.copytree(tree, tmp_path / "registry"), Random(kills)
    for number in range(kills):
        process = _adopt(folder)
        enough = REPOSITORIES * TAGS * number // kills + random.randrange(REPOSITORIES * TAGS // kills)
        while process.poll() is None and _manifests(folder) < enough:
            time.sleep(0.002)
        assert process.poll() is None, "the run was over before it was killed"
        process.kill()
        process.wait()
    assert _adopt(folder).wait(120) == 0
    assert _content(folder) == undisturbed
    assert _layout_is_clean(folder)


def test_a_server_killed_while_it_adopts(tree: Path, tmp_path: Path) -> None:
    """Pushes that were acknowledged meanwhile keep their tags and reach the files; the rest comes in afterwards."""
    folder, random, pushed = shutil.copytree(tree, tmp_path / "registry"), Random(5), {}
    with Server(OPEN, data=folder) as server:
        client = Client.of(server)
        for round_ in range(3):
            name = f"team{round_}/app{round_}"
            pushed[name] = client.push_image(name, "v0", layer=b"newer %d" % round_)
            time.sleep(random.uniform(0.0, 0.3))
            server.kill()
            server.start()
        server.wait_for_log("the folder is adopted", 60)
        for name, digest in pushed.items():
            assert client.request("HEAD", f"/v2/{name}/manifests/v0").headers["docker-content-digest"] == digest
        eventually(lambda: _layout_is_clean(folder), 60, "the pushes to be written to the files")
    tags = _content(folder)["tags"]
    assert len(tags) == REPOSITORIES * TAGS
    assert set(tags.values()) == {1}


@pytest.mark.full  # each lease that has to run out takes twelve seconds; the test above waits for one
@pytest.mark.parametrize("kills", [5])
def test_a_projection_killed_ends_well(kills: int, tmp_path: Path) -> None:
    """Whatever a dead job worker left half written is written by the next, once the lease of the dead one is over."""
    folder = tmp_path / "registry"
    with Server(OPEN, data=folder) as server:
        client = Client.of(server)
        for batch in range(kills):
            for number in range(10 * batch, 10 * batch + 10):
                client.push_image("team/app", f"v{number}", layer=b"layer %d" % number)
                client.push_image("team/app", "latest", layer=b"layer %d" % number)
                assert client.request("DELETE", f"/v2/team/app/manifests/v{number - 2}").status in {202, 404}
            eventually((folder / REPOSITORIES_FOLDER / "team/app/_manifests/tags/latest").exists, what="a tag")
            eventually(lambda: _kill_job_worker(server), what="a job worker")
        eventually(lambda: _layout_is_clean(folder), 60, "the files to say what the metadata say")
        tags = {path.name for path in (folder / REPOSITORIES_FOLDER / "team/app/_manifests/tags").iterdir()}
        assert tags == {f"v{10 * kills - 2}", f"v{10 * kills - 1}", "latest"}


def _kill_job_worker(server: Server) -> bool:
    server.job_worker().kill()
    return True
