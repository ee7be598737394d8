"""The images that acceptance tests push: a large Debian, and small ones of every kind, all made here from nothing."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.layout import LAYER, Descriptor, Layout, small_layer
from tests.support.tools import ROOT, SEARCH_PATH, find_tool

#: Changed with the recipe below, so that what an older one made is not taken for its result.
RECIPE = "1"
#: Large and installed quickly; with the essential packages more than 120 MB when compressed.
PACKAGES = "gcc,python3-minimal"
#: Each goes into a layer of its own; what is in none of them into the first.
SPLIT = ("usr/lib/", "usr/libexec/", "usr/share/")


def debian(folder: Path = ROOT / "build" / "test-images") -> Path:
    """Give an OCI layout with a Debian image of five layers, made once for each working copy and kept there."""
    kept = folder / f"debian-{RECIPE}"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        if not kept.exists():
            making = Path(tempfile.mkdtemp(dir=folder))
            try:
                _make_debian(making)
                (making / "layout").rename(kept)
            finally:
                shutil.rmtree(making)
    return kept


def busybox(folder: Path, *, text: str = "hello") -> str:
    """Write a small image that runs, of two layers, the last with the text; gives its digest."""
    layout = Layout(folder)
    return layout.tag(_busybox_image(layout, text, "amd64"))


def multi_architecture(folder: Path) -> str:
    """Write an index of images for three architectures; gives its digest."""
    layout = Layout(folder)
    images = {name: _busybox_image(layout, name, name) for name in ("amd64", "arm64", "riscv64")}
    return layout.tag(layout.index(images))


def sha512(folder: Path) -> str:
    """Write an image whose every descriptor is of sha512; gives its digest."""
    layout = Layout(folder, "sha512")
    return layout.tag(_busybox_image(layout, "sha512", "amd64"))


def _busybox_image(layout: Layout, text: str, architecture: str) -> Descriptor:
    program = find_tool("busybox").read_bytes()
    layers = [
        small_layer(layout, {"bin/busybox": program, "bin/sh": program}),
        small_layer(layout, {"etc/text": text.encode()}),
    ]
    return layout.image(layers, architecture, Cmd=["/bin/busybox", "cat", "/etc/text"])


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _make_debian(folder: Path) -> None:
    tar = folder / "root.tar"
    command = [find_tool("mmdebstrap"), "--quiet", "--variant=essential", f"--include={PACKAGES}", *_mirror(tar)]
    made = subprocess.run(
        command, env=os.environ | {"PATH": SEARCH_PATH}, text=True, check=False, capture_output=True, timeout=900
    )
    assert made.returncode == 0, f"mmdebstrap failed:\n{made.stdout}{made.stderr}"
    layout = Layout(folder / "layout")
    layers = [*_split(tar, folder, layout), small_layer(layout, {"etc/issue": b"Made for a test.\n"})]
    layout.tag(layout.image(layers, Cmd=["/bin/cat", "/etc/debian_version"]))


def _mirror(tar: Path) -> list[str]:
    """Name the release and the archives that this machine's own apt uses (those that are reached by HTTP)."""
    form = "$(CODENAME)|deb [signed-by=$(SIGNED_BY)] $(REPO_URI) $(RELEASE) $(COMPONENT)"
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        text=True,
        check=True,
        capture_output=True,
    )
    lines = sorted({line for line in told.stdout.splitlines() if "] http" in line}, key=len)
    archives = [
        line.partition("|")[2].replace("[signed-by=] ", "").replace("[signed-by=$(SIGNED_BY)] ", "") for line in lines
    ]
    return [lines[0].partition("|")[0], str(tar), *archives]


def _split(tar: Path, folder: Path, layout: Layout) -> list[tuple[Descriptor, str]]:
    """Split a root file system into layers."""
    parts = [folder / f"layer{number}.tar" for number in range(len(SPLIT) + 1)]
    with tarfile.open(tar) as source, ExitStack() as stack:
        out = [stack.enter_context(tarfile.open(part, "w", format=tarfile.PAX_FORMAT)) for part in parts]
        place: dict[str, int] = {}
        for member in source:
            number = _layer_of(member.name)
            place[member.name] = number
            assert not member.islnk() or place[member.linkname] == number, "a hard link into another layer"
            out[number].addfile(member, source.extractfile(member) if member.isreg() else None)
    return [_compressed(part, layout) for part in parts]


def _layer_of(name: str) -> int:
    plain = name.removeprefix("./")
    return next((number for number, start in enumerate(SPLIT, 1) if plain.startswith(start)), 0)


def _compressed(plain: Path, layout: Layout) -> tuple[Descriptor, str]:
    packed = plain.with_suffix(".gz")
    with plain.open("rb") as source, packed.open("wb") as target:
        diff = hashlib.file_digest(source, "sha256").hexdigest()
        source.seek(0)
        with gzip.GzipFile("", "wb", 1, target, mtime=0) as zipped:  # level 1: the size matters here, not the ratio
            shutil.copyfileobj(source, zipped, 1 << 20)
    return layout.file(packed, LAYER), f"sha256:{diff}"
