"""Layers as clients packed them, opened as the estimate of duplicates opens them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from entrepot.insight.duplicates.expansion import Expansion, Outcome
from tests.support.terminal import Terminal

_PIECE = 64 * 1024


def opened(path: Path) -> str:
    """Open a layer, which must go to its end, and return the digest of what is inside."""
    work, inside, packed = Expansion(), hashlib.sha256(), path.read_bytes()
    for at in range(0, len(packed), _PIECE):
        for plain in work.expand(packed[at : at + _PIECE]):
            inside.update(plain)
    assert work.outcome is Outcome.WHOLE, path
    return f"sha256:{inside.hexdigest()}"


def assert_opened_as_built(terminal: Terminal, image: str, *options: str) -> None:
    """Pull an image into a folder: what comes out of its layers is what its configuration says was built."""
    folder = terminal.home / "layers"
    terminal.run("skopeo", "copy", "--quiet", *options, image, f"dir:{folder}")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    config: Any = json.loads(_file(folder, manifest["config"]).read_bytes())
    assert [opened(_file(folder, layer)) for layer in manifest["layers"]] == config["rootfs"]["diff_ids"]


def _file(folder: Path, descriptor: dict[str, str]) -> Path:
    return folder / descriptor["digest"].partition(":")[2]
