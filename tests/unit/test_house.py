"""The rules of the house hold for the house itself."""

import asyncio
import re
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.http.matrix.cells import Cell, Row, Table, read_table
from tests.http.matrix.check import deployed_routes, problems
from tests.support.tools import find_tool
from tests.unit.conftest import NetworkInUnitTest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("constraints.txt", "constraints-dev.txt", "constraints-image.txt", "constraints-ldap.txt", "uv.txt")


def read_pins(name: str) -> dict[str, tuple[str, int]]:
    """Read version and number of hashes of every package a lock file pins."""
    pins: dict[str, tuple[str, int]] = {}
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        package, version = re.split("==|[ ;]", line, maxsplit=2)[:2]
        pins[package] = (version, line.count("--hash=sha256:"))
    return pins


def test_a_unit_test_cannot_open_a_network_connection() -> None:
    """Reaching for a network address in a unit test raises before a packet leaves."""
    with socket.socket() as reaching, pytest.raises(NetworkInUnitTest):
        reaching.connect(("127.0.0.1", 9))


def test_every_route_has_rows_in_the_authorisation_matrix() -> None:
    """What `make check` asks for: whoever adds a route says who may use it."""
    assert problems(asyncio.run(deployed_routes()), set(read_table().rows)) == []


def test_the_authorisation_matrix_approves_no_fault_of_ours() -> None:
    """A route that answers 500 is red, and `approve` writes nothing."""
    assert read_table().broken == []
    row = Row("/api/v2.0/broken", "GET", "-")
    cells = {Cell(row, "anon"): "401", Cell(row, "admin"): "500"}
    assert [str(cell) for cell in Table(cells).broken] == ["GET /api/v2.0/broken -, as admin"]


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose program is not installed fails with the Debian package that brings it."""
    monkeypatch.setattr("tests.support.tools.SEARCH_PATH", "/nonexistent")
    with pytest.raises(pytest.fail.Exception, match="Debian package apache2-utils"):
        find_tool("htpasswd")


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes_and_no_address(name: str) -> None:
    """A pinned package can come from any mirror and be nothing but what was pinned."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert all(hashes > 0 for _, hashes in read_pins(name).values())


def test_every_dependency_is_pinned() -> None:
    """Whatever pyproject.toml asks for stands in the lock files; `make lock` writes them."""
    product = names(PROJECT["project"]["dependencies"]) | names(PROJECT["dependency-groups"]["build"])
    assert product <= set(read_pins("constraints.txt"))
    assert product | names(PROJECT["dependency-groups"]["dev"]) <= set(read_pins("constraints-dev.txt"))
    extra = PROJECT["project"]["optional-dependencies"]["ldap"]
    assert extra == PROJECT["dependency-groups"]["ldap"]
    assert names(extra) <= set(read_pins("constraints-ldap.txt"))


def test_tests_run_on_the_versions_that_are_served() -> None:
    """Both lock files pin the same version of a package."""
    served, tested = read_pins("constraints.txt"), read_pins("constraints-dev.txt")
    assert {name: pin[0] for name, pin in served.items()} == {name: tested[name][0] for name in served}


def names(requirements: list[str]) -> set[str]:
    """Take the normalised package names out of requirement lines."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[<>=\[; ]", line, maxsplit=1)[0].lower()) for line in requirements}


def test_every_target_is_explained_by_help() -> None:
    """`make help` lists every target that a person may call."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert declared
    for target in declared[1].split():
        if not target.startswith("packages-"):
            assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE), target


def test_the_scripts_are_what_every_shell_understands() -> None:
    """Set-up runs with the plain shell of a fresh Debian, before anything is installed."""
    scripts = [*(ROOT / "tools").glob("*.sh"), *(ROOT / "deploy").glob("**/*.sh")]
    assert scripts
    for script in scripts:
        assert script.stat().st_mode & 0o111, f"{script} cannot be run"
        assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n"), script
        subprocess.run(["/bin/sh", "-n", script], check=True)


def test_the_lists_of_packages_are_read_as_written() -> None:
    """Each line of a package list names what must be there and the packages that bring it, and nothing more."""
    for file in (ROOT / "tools" / "packages").iterdir():
        lines = file.read_text(encoding="utf-8").splitlines()
        assert all(len(line.split()) == 2 for line in lines if line and not line.startswith("#")), file


def test_links_in_the_documents_lead_somewhere() -> None:
    """Every link to a file of the project names one that is there."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    documents = [ROOT / name for name in listing.split("\0") if name]
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:")
    ]
    assert links
    assert [(str(document), target) for document, target in links if not (document.parent / target).exists()] == []
