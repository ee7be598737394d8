"""Pushing one large blob, durably."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import client, peers
from benchmarks.processes import Server
from benchmarks.rounds import Outcome, Sample, interleave

_MEGABYTES = 1000
_REPOSITORY = "bench/large"


def push_blob(folder: Path) -> list[Outcome]:
    """Push a blob of 1 GB in one PUT, beside `dd conv=fsync` on the same disk."""
    file = folder / "large"
    with ExitStack() as stack:
        ours = stack.enter_context(peers.entrepot(folder / "ours", scope=f"repository:{_REPOSITORY}:pull,push"))
        peer = stack.enter_context(peers.registry2(folder / "peer"))
        disk = Server("dd", "", ours.process)

        def measure(server: Server) -> Sample:
            if server is disk:
                return Sample(value=_disk(folder))
            digest = _new_file(file)
            before = server.cpu_seconds()
            seconds = client.curl_upload(server, _REPOSITORY, file, digest)
            _remove(folder / ("ours" if server is ours else "peer"), digest)
            return Sample(value=_MEGABYTES / seconds, cpu=server.cpu_seconds() - before)

        target = ">= 1.3 x or >= 0.85 of the disk"
        outcome = Outcome(scenario="push of a 1 GB blob (CPU: per GB)", unit="MB/s", target=target)
        return [interleave(outcome, [ours, peer, disk], measure, rounds=5)]


def _new_file(file: Path) -> str:
    """Write 1 GB that no server has seen, random only as far as it must be."""
    base = os.urandom(1_000_000)
    hasher = hashlib.sha256()
    with file.open("wb") as out:
        for number in range(_MEGABYTES):
            piece = number.to_bytes(8, "big") + base[8:]
            hasher.update(piece)
            out.write(piece)
    return f"sha256:{hasher.hexdigest()}"


def _disk(folder: Path) -> float:
    """Return the MB/s of writing 1 GB with one fsync at the end."""
    target = folder / "dd"
    begun = time.monotonic()
    command = ["dd", "if=/dev/zero", f"of={target}", "bs=1000000", f"count={_MEGABYTES}", "conv=fsync"]
    subprocess.run(command, capture_output=True, check=True)
    seconds = time.monotonic() - begun
    target.unlink()
    return _MEGABYTES / seconds


def _remove(folder: Path, digest: str) -> None:
    """Free the disk; the server is never asked for this blob again."""
    encoded = digest.removeprefix("sha256:")
    (folder / "docker/registry/v2/blobs/sha256" / encoded[:2] / encoded / "data").unlink()
