"""Taking over a folder of registry:2."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import client, peers, seed
from benchmarks.rounds import Outcome, Sample

_REPOSITORIES = 200
_TAGS = 100


def adoption(folder: Path) -> list[Outcome]:
    """Adopt 20,000 tagged images (160,000 files), and answer the first pull meanwhile."""
    data = folder / "tree"
    files = seed.write_registry2_tree(data, repositories=_REPOSITORIES, tags=_TAGS)
    first = Outcome(
        scenario=f"first pull from a folder of {files:,} files, start included",
        unit="s",
        more_is_better=False,
        target="at once",
    )
    begun = time.monotonic()
    with peers.entrepot(data, scope="repository:team7/app187:pull") as ours:
        client.call(ours, "GET", "/v2/team7/app187/manifests/v99", Accept="*/*")
        first.samples[peers.OURS] = [Sample(value=time.monotonic() - begun)]
    _forget(data)
    whole = Outcome(
        scenario=f"adoption of {_REPOSITORIES * _TAGS:,} tagged images",
        unit="s",
        more_is_better=False,
        target="<= 60 s",
    )
    whole.samples[peers.OURS] = [_adopt(data)]
    return [first, whole]


def _forget(data: Path) -> None:
    for path in (data / "entrepot").glob("metadata.db*"):
        path.unlink()


def _adopt(data: Path) -> Sample:
    command = [str(Path(sys.executable).with_name("entrepot")), "adopt", "--json", str(data)]
    begun = time.monotonic()
    result = subprocess.run(command, capture_output=True, check=True)
    seconds = time.monotonic() - begun
    counts = json.loads(result.stdout)
    if counts["manifests"] != _REPOSITORIES * _TAGS or counts["problems"]:
        raise RuntimeError(f"adopted {counts}")
    return Sample(value=seconds)
