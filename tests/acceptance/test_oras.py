"""ORAS keeps files as artifacts, attaches others to them, finds those again, and copies whole graphs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.layout import blob_names, digest_in
from tests.support.places import REFUSAL, Place
from tests.support.terminal import Terminal

SBOM = "application/vnd.example.sbom"


class Oras:
    """ORAS, for one registry."""

    def __init__(self, terminal: Terminal, place: Place) -> None:
        self.terminal = terminal
        self.place = place
        self._plain = ("--plain-http",) if place.plain else ()

    def login(self) -> None:
        """Log in, where one can."""
        if self.place.login:
            name, password = self.place.login
            words = ("login", *self._plain, "--username", name, "--password-stdin", self.place.address)
            assert "Login Succeeded" in self.terminal.run("oras", *words, given=password)

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Run a command that talks to the registry."""
        verb = 2 if words[0] in {"manifest", "repo", "blob"} else 1
        return self.terminal.run("oras", *words[:verb], *self._plain, *words[verb:], cwd=cwd)

    def copy(self, *words: str) -> None:
        """Copy between the registry and layouts."""
        side = "--to-plain-http" if "--from-oci-layout" in words else "--from-plain-http"
        self.terminal.run("oras", "copy", "--no-tty", *((side,) if self.place.plain else ()), *words)

    def refused(self, *words: str, given: str | None = None) -> str:
        """Run a command that has to fail, and give what it said."""
        return self.terminal.refused("oras", words[0], *self._plain, *words[1:], given=given)

    def json(self, *words: str, cwd: Path | None = None) -> dict[str, Any]:
        """Run a command that prints JSON."""
        found: dict[str, Any] = json.loads(self.run(*words, "--format", "json", cwd=cwd))
        return found

    def named(self, name: str) -> str:
        """Give the whole name of something in the registry."""
        return f"{self.place.address}/{name}"


@pytest.fixture
def oras(terminal: Terminal, place: Place) -> Oras:
    """Give ORAS, logged in."""
    made = Oras(terminal, place)
    made.login()
    return made


def test_an_artifact_with_a_referrer_goes_up_and_comes_back(oras: Oras, tmp_path: Path) -> None:
    """An attached file is found by its subject, through the registry's own list and not by a tag, and pulled."""
    (tmp_path / "data.bin").write_bytes(os.urandom(5 << 20))
    (tmp_path / "sbom.json").write_text('{"packages": []}', encoding="utf-8")
    name = oras.named("oras/data:1")
    oras.run("push", "--artifact-type", "application/vnd.example.data", name, "data.bin", cwd=tmp_path)
    digest = oras.run("resolve", name)
    attached = oras.json("attach", "--artifact-type", SBOM, name, "sbom.json", cwd=tmp_path)
    found = oras.json("discover", name)
    entries = found.get("manifests") or found["referrers"]
    assert [(entry["digest"], entry["artifactType"]) for entry in entries] == [(attached["digest"], SBOM)]
    assert oras.run("repo", "tags", oras.named("oras/data")) == "1"

    oras.run("pull", name, "--output", str(tmp_path / "pulled"))
    assert (tmp_path / "pulled" / "data.bin").read_bytes() == (tmp_path / "data.bin").read_bytes()
    oras.copy("--recursive", "--to-oci-layout", name, f"{tmp_path}/layout:1")
    assert digest_in(tmp_path / "layout", "1") == digest
    assert attached["digest"] in blob_names(tmp_path / "layout")


def test_a_graph_is_copied_into_the_registry(oras: Oras, multi_architecture: Path, tmp_path: Path) -> None:
    """An index copied in from a layout and out to another keeps its digest and all its parts."""
    name = oras.named("oras/multi:1")
    oras.copy("--recursive", "--from-oci-layout", f"{multi_architecture}:latest", name)
    assert oras.run("resolve", name) == digest_in(multi_architecture)
    oras.copy("--recursive", "--to-oci-layout", name, f"{tmp_path}/layout:latest")
    assert digest_in(tmp_path / "layout") == digest_in(multi_architecture)
    assert blob_names(tmp_path / "layout") == blob_names(multi_architecture)


def test_sha512_is_kept(oras: Oras, sha512: Path, tmp_path: Path) -> None:
    """An image whose digests are all sha512 goes in and out under them."""
    name = oras.named("oras/sha512")
    digest = digest_in(sha512)
    assert digest.startswith("sha512:")
    oras.copy("--from-oci-layout", f"{sha512}:latest", f"{name}@{digest}")
    oras.copy("--to-oci-layout", f"{name}@{digest}", f"{tmp_path}/layout:latest")
    assert digest_in(tmp_path / "layout") == digest
    assert blob_names(tmp_path / "layout") == blob_names(sha512)


def test_tags_and_repositories_are_listed_and_deleted(oras: Oras, tmp_path: Path) -> None:
    """A second tag is made without a transfer, all are listed, and a deleted manifest takes its tags along."""
    (tmp_path / "note").write_text("note", encoding="utf-8")
    name = oras.named("oras/tags")
    oras.run("push", f"{name}:1", "note", cwd=tmp_path)
    oras.run("tag", f"{name}:1", "2", "latest")
    assert oras.run("repo", "tags", name).split() == ["1", "2", "latest"]
    assert oras.run("repo", "tags", "--last", "1", name).split() == ["2", "latest"]
    if oras.place.kind != "tls":  # whose administrator may see everything; the same as `login`
        assert "oras/tags" in oras.run("repo", "ls", oras.place.address).split()
    oras.run("manifest", "delete", "--force", f"{name}@{oras.run('resolve', f'{name}:1')}")
    assert oras.run("repo", "tags", name) == ""


def test_a_large_image_is_copied(terminal: Terminal, login_place: Place, debian: Path, tmp_path: Path) -> None:
    """A Debian of five layers goes in and out with every blob as it was."""
    oras = Oras(terminal, login_place)
    oras.login()
    oras.copy("--from-oci-layout", f"{debian}:latest", oras.named("oras/debian:13"))
    oras.copy("--to-oci-layout", oras.named("oras/debian:13"), f"{tmp_path}/layout:latest")
    assert digest_in(tmp_path / "layout") == digest_in(debian)
    assert blob_names(tmp_path / "layout") == blob_names(debian)


def test_who_is_not_known_is_refused(terminal: Terminal, place: Place, tmp_path: Path) -> None:
    """A wrong password cannot log in; nobody pushes before a login or after a logout, except where all may."""
    oras = Oras(terminal, place)
    (terminal.home / "note").write_text("note", encoding="utf-8")
    name = oras.named("oras/guarded:1")
    if place.login is None:
        oras.run("push", name, "note")
        return
    assert REFUSAL.search(oras.refused("push", name, "note"))
    words = ("login", "--username", place.login[0], "--password-stdin", place.address)
    assert REFUSAL.search(oras.refused(*words, given="wrong"))
    oras.login()
    oras.run("push", name, "note")
    terminal.run("oras", "logout", place.address)
    assert REFUSAL.search(oras.refused("pull", name))
