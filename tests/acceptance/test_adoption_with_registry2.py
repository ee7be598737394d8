"""docker-registry fills a folder, Entrepot takes it over, gives it back, and takes it over again.

What either serves is pulled by Skopeo, tag by tag, and compared by every digest in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrepot.metadata.database import Transaction
from entrepot.metadata.query import RawQuery
from entrepot.oci.reference import RepositoryName, Tag
from tests.contracts.adoption.conftest import Folder
from tests.contracts.registry.pushing import ALICE
from tests.support.http_client import Client, eventually
from tests.support.images import sha512 as write_sha512
from tests.support.layout import MANIFEST, Layout, digest_in, small_layer
from tests.support.registry2 import Registry2, catalog, everything, get, push, skopeo, status, tags, whole
from tests.support.server import Server
from tests.support.tools import find_tool

Pulled = dict[str, tuple[str, frozenset[str]]]

OPEN = {"storage": {"delete": {"enabled": True}}, "log": {"accesslog": {"disabled": True}}}
ADOPTED = "the folder is adopted"
ORPHAN = b"a blob that no manifest refers to"
SHA512 = b"a blob that was pushed by its sha512"


def _image(folder: Path, *texts: str) -> Path:
    """Write a small image with a layer for each text; the same text is the same layer."""
    layout = Layout(folder)
    layout.tag(layout.image([small_layer(layout, {f"etc/{text}": text.encode() * 50}) for text in texts]))
    return folder


def _index(folder: Path, *architectures: str) -> Path:
    """Write an index of images that share a layer."""
    layout = Layout(folder)
    base = small_layer(layout, {"etc/base": b"base" * 50})
    images = {
        name: layout.image([base, small_layer(layout, {"etc/arch": name.encode()})], name) for name in architectures
    }
    layout.tag(layout.index(images))
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give layouts of images: `one`, `two`, `gone` and `new` share a layer with each other and with `multi`."""
    folder = tmp_path_factory.mktemp("images")
    made = {name: _image(folder / name, "base", name) for name in ("one", "two", "gone", "new")}
    write_sha512(folder / "sha512")
    return {
        **made,
        "sha512": folder / "sha512",
        "multi": _index(folder / "multi", "amd64", "arm64"),
        "other": _index(folder / "other", "s390x"),
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, images: dict[str, Path]) -> tuple[Path, Pulled]:
    """Give a folder that docker-registry filled, and everything in it."""
    root = tmp_path_factory.mktemp("filled") / "registry"
    with Registry2(root).running() as registry:
        address = registry.address
        for name in ("busybox:1.0", "team/app:v1", "team/app:latest", "deep/er/and/er/still:1"):
            push(images["one"], address, name)
        for name in ("library/busybox:2.0", "team/app:v2", "team/app:latest"):
            push(images["two"], address, name)
        push(images["multi"], address, "team/app:multi")
        push(images["one"], address, "team/docker:1", "--format", "v2s2")
        push(images["gone"], address, "team/app:gone")
        skopeo("delete", "--tls-verify=false", f"docker://{address}/team/app:gone")
        _blob(address, "team/blobs", "sha256", ORPHAN)
        _blob(address, "team/blobs", "sha512", SHA512)
        _attach(address, "team/app:v2", tmp_path_factory.mktemp("attached"))
        return root, everything(address)


@pytest.fixture
def folder(filled: tuple[Path, Pulled], tmp_path: Path) -> Path:
    """Give a copy of that folder."""
    return shutil.copytree(filled[0], tmp_path / "registry")


@pytest.fixture
def before(filled: tuple[Path, Pulled]) -> Pulled:
    """Give what docker-registry served of it."""
    return filled[1]


def _blob(address: str, repository: str, algorithm: str, data: bytes) -> None:
    client = Client(url=f"http://{address}")
    session = client.request("POST", f"/v2/{repository}/blobs/uploads/").location
    digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    joint = "&" if "?" in session else "?"
    assert client.request("PUT", f"{session}{joint}digest={digest}", data).status == 201


def _push_by_sha512(address: str, repository: str, layout: Path) -> list[str]:
    """Push an image whose every digest is sha512 (no client does that to registry:2); gives the paths of its parts."""
    blobs = layout / "blobs" / "sha512"
    digest = digest_in(layout)
    raw = (blobs / digest.partition(":")[2]).read_bytes()
    manifest = json.loads(raw)
    parts = [str(part["digest"]) for part in (manifest["config"], *manifest["layers"])]
    for part in parts:
        _blob(address, repository, "sha512", (blobs / part.partition(":")[2]).read_bytes())
    assert status(address, f"{repository}/manifests/{digest}", "PUT", raw, Content_Type=MANIFEST) == 201
    return [*(f"{repository}/blobs/{part}" for part in parts), f"{repository}/manifests/{digest}"]


def _attach(address: str, name: str, folder: Path) -> None:
    """Attach an artifact as clients do to a registry without referrers: by a fallback tag."""
    (folder / "note.txt").write_text("attached")
    words = ("attach", "--plain-http", "--artifact-type", "application/x-note", f"{address}/{name}", "note.txt")
    subprocess.run([find_tool("oras"), *words], cwd=folder, env={"HOME": str(folder)}, check=True, capture_output=True)


@contextmanager
def _serving(folder: Path) -> Iterator[Server]:
    """Serve a folder with registry:2's rights: everybody may do everything."""
    with Server(OPEN, data=folder) as server:
        yield server
        server.stop()


def _adopted(server: Server) -> None:
    server.wait_for_log(ADOPTED, 60)


def _command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run an `entrepot` command on a folder; the server need not run."""
    command = [Path(sys.executable).parent / "entrepot", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _check_layout(folder: Path) -> None:
    """Nothing differs between the metadata and the files."""
    done = _command("layout", "check", "--json", folder)
    found = json.loads(done.stdout)
    assert (done.returncode, found["differences"], found["problems"]) == (0, [], [])


def test_everything_is_served_at_once(folder: Path, before: Pulled) -> None:
    """The first pulls come before the adoption is complete; afterwards lists and every digest are the same."""
    with _serving(folder) as server:
        assert whole(server.address, "team/app:latest") == before["team/app:latest"]
        assert whole(server.address, "team/app:multi") == before["team/app:multi"]
        _adopted(server)
        assert everything(server.address) == before
        assert tags(server.address, "busybox") == ["1.0"]
        assert tags(server.address, "library/busybox") == ["2.0"]
        assert status(server.address, "team/app/manifests/gone") == 404
        sha512 = f"sha512:{hashlib.sha512(SHA512).hexdigest()}"
        assert get(server.address, f"team/blobs/blobs/{sha512}") == SHA512
        referrers = json.loads(get(server.address, f"team/app/referrers/{before['team/app:v2'][0]}"))
        assert [entry["artifactType"] for entry in referrers["manifests"]] == ["application/x-note"]
    _check_layout(folder)


def test_the_way_back(folder: Path, before: Pulled, images: dict[str, Path]) -> None:
    """docker-registry serves what Entrepot was pushed and not what it deleted; its collection harms neither."""
    registry = Registry2(folder)
    with _serving(folder) as server:
        push(images["new"], server.address, "team/app:new")
        push(images["two"], server.address, "busybox:1.0")
        push(images["other"], server.address, "fresh/repository:1")
        sha512 = _push_by_sha512(server.address, "team/strong", images["sha512"])
        assert status(server.address, "team/app/manifests/v1", "DELETE") == 202
        skopeo("delete", "--tls-verify=false", f"docker://{server.address}/deep/er/and/er/still:1")
        _adopted(server)
        after = everything(server.address)
    assert after.keys() - before.keys() == {"team/app:new", "fresh/repository:1"}
    assert before.keys() - after.keys() == {"team/app:v1", "deep/er/and/er/still:1"}
    with registry.running():
        assert everything(registry.address) == after
        assert status(registry.address, "team/app/manifests/v1") == 404
    registry.collect()
    with registry.running():
        assert everything(registry.address) == after
        assert [status(registry.address, path, "GET", Accept=MANIFEST) for path in sha512] == [200] * len(sha512)
    with _serving(folder) as server:
        assert everything(server.address) == after
    _check_layout(folder)


def test_the_database_is_rebuilt_from_the_tree(folder: Path, images: dict[str, Path]) -> None:
    """Without its databases Entrepot serves what it served, pushes of its own and the referrers included."""
    with _serving(folder) as server:
        push(images["new"], server.address, "team/app:new")
        assert status(server.address, "team/app/manifests/v1", "DELETE") == 202
        _adopted(server)
        known = everything(server.address)
    for database in (folder / "entrepot").glob("*.db*"):
        database.unlink()
    with _serving(folder) as server:
        _adopted(server)
        assert everything(server.address) == known
        assert status(server.address, "team/app/manifests/v1") == 404
    _check_layout(folder)


def test_collection_of_untagged_manifests(folder: Path, before: Pulled, images: dict[str, Path]) -> None:
    """`garbage-collect -m` takes what indexes list (a fault of registry:2's own); a push to Entrepot brings it back."""
    with _serving(folder) as server:
        _adopted(server)
    registry = Registry2(folder)
    registry.collect("-m")
    plain = {name: pulled for name, pulled in before.items() if "multi" not in name and "sha256-" not in name}
    orphan = f"team/blobs/blobs/sha256:{hashlib.sha256(ORPHAN).hexdigest()}"
    with registry.running():
        assert {name: whole(registry.address, name) for name in plain} == plain
    with _serving(folder) as server:
        server.wait_for_log(f"entrepot adopt --delta {folder}")
        assert {name: whole(server.address, name) for name in plain} == plain
        eventually(lambda: status(server.address, orphan) == 404, what="the collected blob to be unknown")
        push(images["multi"], server.address, "team/app:multi")
        assert whole(server.address, "team/app:multi") == before["team/app:multi"]
    with registry.running():
        assert whole(registry.address, "team/app:multi") == before["team/app:multi"]


def test_what_registry2_wrote_meanwhile_is_taken_in(folder: Path, images: dict[str, Path]) -> None:
    """Tags new and moved, a repository, a deleted manifest: served after `adopt --delta`, pruned when asked to."""
    with _serving(folder) as server:
        _adopted(server)
    registry = Registry2(folder)
    with registry.running():
        push(images["new"], registry.address, "team/app:new")
        push(images["one"], registry.address, "team/app:latest")
        push(images["other"], registry.address, "fresh/repository:1")
        skopeo("delete", "--tls-verify=false", f"docker://{registry.address}/team/docker:1")
        theirs = everything(registry.address)
    with _serving(folder) as server:
        server.wait_for_log(f"entrepot adopt --delta {folder}")
        assert tags(server.address, "team/docker") == ["1"]
        done = _command("adopt", "--delta", "--json", folder)
        told = json.loads(done.stdout)
        assert (done.returncode, told["report"]) == (0, [])
        assert {(kept["repository"], kept.get("tag")) for kept in told["kept"]} == {
            ("team/docker", "1"),
            ("team/docker", None),
        }
        assert {name: pulled for name, pulled in everything(server.address).items() if name in theirs} == theirs
        assert json.loads(_command("adopt", "--delta", "--prune", "--json", folder).stdout)["kept"] == []
        assert everything(server.address) == theirs
        assert "team/docker" not in catalog(server.address)
    _check_layout(folder)
    with _serving(folder) as server:
        assert "adopt --delta" not in server.logs()
        assert everything(server.address) == theirs


async def _leave_undone(folder: Path, *deleted: Tag) -> None:
    """Delete images as a server does that is killed before it writes that to the files, some minutes ago."""
    opened = await Folder.open(folder)
    name = RepositoryName.parse("team/app")
    for tag in deleted:
        found = await opened.registry.manifests.get(name, tag, content=False)
        await opened.registry.manifests.delete(name, found.digest, actor=ALICE)

    async def age(tx: Transaction) -> None:
        await tx.execute(RawQuery(f"UPDATE outbox SET created_at = created_at - {600 * 10**6}", "test.age"))

    await opened.stores.metadata.write(age, name="age")
    await opened.stores.close()
    then = time.time() - 600
    for link in (folder / "docker").rglob("link"):
        os.utime(link, (then, then))


@pytest.mark.parametrize("served", [True, pytest.param(False, marks=pytest.mark.full)], ids=["served", "not served"])
async def test_what_registry2_wrote_after_a_kill_is_not_undone(
    folder: Path, images: dict[str, Path], *, served: bool
) -> None:
    """What was deleted here and is pushed there again, and a tag moved there, are served by both afterwards."""
    with _serving(folder) as server:
        _adopted(server)
        push(images["new"], server.address, "team/app:new")
    await _leave_undone(folder, Tag.parse("new"), Tag.parse("v2"))
    registry = Registry2(folder)
    with registry.running():
        push(images["new"], registry.address, "team/app:new")
        push(images["one"], registry.address, "team/app:v2")
        theirs = {name: whole(registry.address, f"team/app:{name}") for name in ("new", "v2", "v1")}
    if served:
        with _serving(folder) as server:
            server.wait_for_log(f"entrepot adopt --delta {folder}")
    assert _command("adopt", "--delta", folder).returncode == 0
    with _serving(folder) as server:
        assert {name: whole(server.address, f"team/app:{name}") for name in theirs} == theirs
    _check_layout(folder)
    with registry.running():
        assert {name: whole(registry.address, f"team/app:{name}") for name in theirs} == theirs


def test_a_mount_and_a_push_reach_an_unread_repository(folder: Path, images: dict[str, Path]) -> None:
    """A push to a repository that nobody has read yet keeps its tags, and a layer is mounted out of one."""
    layer = max(
        json.loads((images["one"] / "blobs" / "sha256" / digest_in(images["one"])[7:]).read_text())["layers"],
        key=lambda found: found["size"],
    )["digest"]
    with _serving(folder) as server:
        path = f"elsewhere/app/blobs/uploads/?mount={layer}&from=deep/er/and/er/still"
        assert status(server.address, path, "POST", b"") == 201
        push(images["new"], server.address, "team/app:v1")
        assert tags(server.address, "team/app")[-2:] == ["v1", "v2"]
        assert whole(server.address, "team/app:v1")[0] == digest_in(images["new"])
        _adopted(server)
        assert whole(server.address, "team/app:v1")[0] == digest_in(images["new"])
