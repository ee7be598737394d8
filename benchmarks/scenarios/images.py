"""A whole image pushed and pulled by a real client."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import peers
from benchmarks.processes import Server
from benchmarks.rounds import Outcome, Sample, interleave
from benchmarks.scenarios.layouts import write_layout

_LAYERS = 8
_LAYER_BYTES = 15_000_000


def whole_image(folder: Path) -> list[Outcome]:
    """Push and pull an image of 8 layers of 15 MB each with skopeo."""
    with ExitStack() as stack:
        scope = "repository:bench/whole:pull,push"
        ours = stack.enter_context(peers.entrepot(folder / "ours", scope=scope))
        peer = stack.enter_context(peers.registry2(folder / "peer"))
        counter = iter(range(1000))

        def push(server: Server) -> Sample:
            source = folder / "image"
            write_layout(source, [os.urandom(_LAYER_BYTES) for _ in range(_LAYERS)])
            before = server.cpu_seconds()
            seconds = copy_image(
                server, f"oci:{source}:x", f"docker://{host_of(server)}/bench/whole:v{next(counter)}", "dest"
            )
            shutil.rmtree(source)
            return Sample(value=seconds, cpu=server.cpu_seconds() - before)

        def pull(server: Server) -> Sample:
            before = server.cpu_seconds()
            target = folder / "pulled"
            seconds = copy_image(server, f"docker://{host_of(server)}/bench/whole:pull", f"dir:{target}", "src")
            shutil.rmtree(target)
            return Sample(value=seconds, cpu=server.cpu_seconds() - before)

        pushed = Outcome(
            scenario="push of a 120 MB image by skopeo (CPU: s)", unit="s", more_is_better=False, target=">= 1.3 x"
        )
        interleave(pushed, [ours, peer], push)
        for server in (ours, peer):
            write_layout(folder / "image", [os.urandom(_LAYER_BYTES) for _ in range(_LAYERS)])
            copy_image(server, f"oci:{folder / 'image'}:x", f"docker://{host_of(server)}/bench/whole:pull", "dest")
            shutil.rmtree(folder / "image")
        pulled = Outcome(
            scenario="pull of a 120 MB image by skopeo (CPU: s)", unit="s", more_is_better=False, target=">= 1.3 x"
        )
        return [pushed, interleave(pulled, [ours, peer], pull)]


def host_of(server: Server) -> str:
    """Give HOST:PORT, as clients name a registry."""
    return server.url.removeprefix("http://")


def copy_image(server: Server, source: str, target: str, side: str) -> float:
    """Copy an image by Skopeo, with a server's token on one side (`src` or `dest`); return the seconds."""
    command = ["skopeo", "copy", "-q", f"--{side}-tls-verify=false"]
    token = server.headers.get("Authorization", "").removeprefix("Bearer ")
    if token:
        command.append(f"--{side}-registry-token={token}")
    begun = time.monotonic()
    subprocess.run([*command, source, target], check=True, capture_output=True)
    return time.monotonic() - begun
