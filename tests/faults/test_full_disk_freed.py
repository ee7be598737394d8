"""A disk that pushes have filled is emptied by deletes alone: no restart, no help, and nothing else is lost.

Each test mounts a small tmpfs, or an ext4 in a file, which takes root's rights.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.http_client import OCI_MANIFEST, Client, eventually
from tests.support.mounts import free_bytes, loop_disk, small_disk
from tests.support.server import Server

MIB = 1 << 20
#: Layers of falling size: what the large ones leave is taken by the small ones.
SIZES = [12 * MIB, 3 * MIB, MIB, 256 * 1024, 64 * 1024, 16 * 1024, 4096, 512]
#: Refused so often, a size is given up.
TRIES = 2
PUSHERS = 3
ASIDE = ("ballast", "reserve")
CONFIG = {
    "auth": "accounts",
    "storage": {"delete": {"enabled": True}},
    "lifecycle": {"grace": "1s", "trash": "168h"},
}
Mount = Callable[[Path, int], AbstractContextManager[Path]]
Pushed = list[tuple[str, str]]


def tmpfs(folder: Path, mebibytes: int) -> AbstractContextManager[Path]:
    """Mount memory."""
    return small_disk(folder, f"size={mebibytes}m")


def case(kind: Mount, mebibytes: int, end: str, *, short: bool = False) -> object:
    """Name a case; those that are not short are for `make test-full`."""
    name = f"{'ext4' if kind is loop_disk else 'tmpfs'}-{mebibytes}-{end}"
    return pytest.param(kind, mebibytes, end, id=name, marks=[] if short else pytest.mark.full)


CASES = [
    case(kind, mebibytes, end, short=(kind, mebibytes, end) in {(tmpfs, 96, "others"), (loop_disk, 96, "restart")})
    for kind in (tmpfs, loop_disk)
    for mebibytes in (96, 256, 600)
    for end in ("pushes", "others", "restart", "kill")
]


def fill(client: Client, name: str) -> Pushed:
    """Push images of falling size until none goes in any more; return the tags and digests that were acknowledged."""
    pushed: Pushed = []
    for size in SIZES:
        refused = 0
        while refused < TRIES:
            tag = f"{name}-{len(pushed):05}"
            if (digest := push(client, tag, size)) is None:
                refused += 1
            else:
                pushed.append((tag, digest))
    return pushed


def push(client: Client, tag: str, size: int) -> str | None:
    """Push an image of its own; None when the disk is full, which nothing but 507 says."""
    try:
        return client.push_image("team/app", tag, os.urandom(size))
    except AssertionError as refusal:
        if "status=507" not in str(refusal):
            raise
        return None


def delete(client: Client, digest: str) -> None:
    """Delete a manifest; a full disk may ask for a second try, no more."""
    statuses = [client.request("DELETE", f"/v2/team/app/manifests/{digest}").status for _ in range(2)]
    assert 202 in statuses, statuses


def take_all_that_is_left(disk: Path) -> None:
    """Write what others write on a disk, logs for example: also what the ballast held and gave back."""
    ballast, reserve = (disk / "data" / "entrepot" / name for name in ASIDE)
    if ballast.exists():
        write_log(disk, "first")
        eventually(lambda: not ballast.exists(), 10, "the ballast goes")
    if reserve.exists():
        write_log(disk, "second")


def write_log(disk: Path, name: str) -> None:
    """Take every byte."""
    with (disk / name).open("wb", buffering=0) as log:
        log.write(bytes(free_bytes(disk)))


def room(disk: Path) -> int:
    """Say how many bytes are free or put aside."""
    aside = [disk / "data" / "entrepot" / name for name in ASIDE]
    return free_bytes(disk) + sum(file.stat().st_size for file in aside if file.exists())


@pytest.mark.parametrize(("kind", "mebibytes", "end"), CASES)
def test_a_disk_filled_by_pushes_is_emptied_by_deletes(tmp_path: Path, kind: Mount, mebibytes: int, end: str) -> None:
    """Deletes work at once, their bytes come back within a minute of the first, and then pushes go in again."""
    with kind(tmp_path / "disk", mebibytes) as disk, Server(CONFIG, data=disk / "data", workers=2) as server:
        client = Client.of(server)
        with ThreadPoolExecutor(PUSHERS) as pushers:
            found = pushers.map(lambda number: fill(client, f"p{number}"), range(PUSHERS))
            pushed = [image for images in found for image in images]
        if end != "pushes":
            take_all_that_is_left(disk)
        if end in {"restart", "kill"}:
            server.stop() if end == "restart" else server.kill()
            server.start()
            client = Client.of(server)
        before, begun = room(disk), time.monotonic()
        large = sorted(pushed, key=lambda image: image[0][3:])
        for _tag, digest in large[: len(large) // 2]:
            delete(client, digest)
        eventually(lambda: push(client, "again", MIB) is not None, 60, "space comes back, and pushes go in again")
        freed_in = time.monotonic() - begun
        for tag, digest in large[len(large) // 2 :]:
            answer = client.request("GET", f"/v2/team/app/manifests/{tag}", headers={"Accept": OCI_MANIFEST})
            assert answer.headers["docker-content-digest"] == digest
            layer = json.loads(answer.body)["layers"][0]
            assert client.request("HEAD", f"/v2/team/app/blobs/{layer['digest']}").status == 200
        aside = [disk / "data" / "entrepot" / name for name in ASIDE]
        eventually(lambda: all(file.exists() for file in aside), 30, "space is put aside again")
        print(f"{len(pushed)} images, {before:,} bytes free, {freed_in:.1f} s to {room(disk):,}")
        server.run("doctor", "--data", str(server.data))
