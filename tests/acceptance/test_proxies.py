"""The proxies that `deploy/` has files for, in front of two replicas, as those files say."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.support.acknowledged import digest_of
from tests.support.fleet import Fleet, fleet, push_images
from tests.support.layout import Layout, small_layer
from tests.support.tools import find_tool

PROXIES = ("haproxy", "nginx", "caddy")
#: More than a proxy takes to notice: two checks, one a second.
LEAVING = {"REGISTRY_HTTP_DRAINDELAY": "3s"}
MIB = 1 << 20


async def roll(found: Fleet, times: int) -> None:
    """Replace one after the other, by itself, while clients pull and push."""
    async with found.busy():
        for number in range(times):
            await found.replace(number % 2, None)
    await found.check()


@pytest.mark.parametrize(
    ("proxy", "times"),
    [
        ("haproxy", 2),
        ("nginx", 1),
        ("caddy", 1),
        *(pytest.param(proxy, 34, marks=[pytest.mark.full, pytest.mark.timeout(1800)]) for proxy in PROXIES),
    ],
)
async def test_nodes_are_replaced_without_a_failed_request(proxy: str, times: int, tmp_path: Path) -> None:
    """R21: SIGTERM, a start, the next one, behind each proxy: no pull fails, no push fails, nothing is lost."""
    with fleet(tmp_path / "fleet", proxy=proxy, env=LEAVING) as found:
        found.images += push_images(found.servers[0])
        await roll(found, times)
        print(f"{times} restarts behind {proxy}: {found.pulls}, {len(found.ledger.manifests)} images pushed")
        assert found.pulls.failed == []
        assert found.ledger.interrupted == 0
        assert found.ledger.manifests


@pytest.mark.parametrize("proxy", PROXIES)
async def test_large_and_slow_bodies_pass(proxy: str, tmp_path: Path) -> None:
    """Skopeo pushes and pulls a large layer; a slow upload reaches the registry while it is sent, and is told where."""
    with fleet(tmp_path / "fleet", proxy=proxy) as found:
        await asyncio.to_thread(push_and_pull, found, tmp_path, proxy)
        async with found.client() as session:
            async with session.post("/v2/slow/one/blobs/uploads/") as answer:
                assert answer.status == 202
                location = answer.headers["Location"]
            assert location.startswith(f"{found.url}/v2/slow/one/blobs/uploads/")
            data = Random(1).randbytes(5 * MIB)
            async with session.patch(location, data=slowly(data, found)) as answer:
                assert answer.status == 202
                location = answer.headers["Location"]
            async with session.put(location, params={"digest": digest_of(data)}) as answer:
                assert answer.status == 201


async def slowly(data: bytes, found: Fleet) -> AsyncIterator[bytes]:
    """Send piece by piece, and the last only when the registry has most of those before."""
    for start in range(0, len(data), MIB):
        if start == len(data) - MIB:
            await arrived(found, start // 2)
        yield data[start : start + MIB]
        await asyncio.sleep(0.2)


async def arrived(found: Fleet, size: int) -> None:
    """Wait until an upload under way has so many bytes."""
    folder, deadline = found.servers[0].data / "entrepot" / "uploads", time.monotonic() + 10
    while not any(entry.stat().st_size >= size for entry in folder.iterdir() if entry.is_file()):
        assert time.monotonic() < deadline, "the proxy keeps the upload to itself"
        await asyncio.sleep(0.1)


def push_and_pull(found: Fleet, folder: Path, proxy: str) -> None:
    """Push an image with a layer of 80 MiB, which does not shrink, and pull it again."""
    layout = Layout(folder / "image")
    large = small_layer(layout, {"large": Random(proxy).randbytes(80 * MIB)})
    digest = layout.tag(layout.image([large]))
    name = f"docker://{found.url.removeprefix('https://')}/large/image:one"
    login = f"admin:{found.servers[0].admin_password}"
    copy = [find_tool("skopeo"), "copy", "--quiet"]
    certificates = folder / "certificates"
    certificates.mkdir()
    (certificates / "ca.crt").symlink_to(folder / "fleet" / "ca.pem")
    there = ["--dest-creds", login, "--dest-cert-dir", certificates]
    back = ["--src-creds", login, "--src-cert-dir", certificates]
    subprocess.run([*copy, *there, f"oci:{folder / 'image'}:latest", name], check=True)
    subprocess.run([*copy, *back, name, f"oci:{folder / 'again'}:latest"], check=True)
    assert json.loads((folder / "again" / "index.json").read_text())["manifests"][0]["digest"] == digest
