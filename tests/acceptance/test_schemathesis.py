"""The API does what its own documentation says, for whatever schemathesis makes of that: examples, edges and chance.

The reports lie in `build/reports/schemathesis-*` afterwards: a page for people, JUnit's XML for programs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.http_client import Client
from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "reports"
DOCUMENT = "/api/v2.0/openapi.json"
CONFIG = Path(__file__).with_name("schemathesis.toml")
ADMINISTRATOR, NOBODY = "administrator", "anonymous"
EDGES = "examples,coverage"
CHANCE = "examples,coverage,fuzzing,stateful"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Give a registry with what the examples of the documentation name; nothing in it can be deleted."""
    with Server({"auth": "accounts", "log": {"accesslog": {"disabled": True}}}, workers=1) as running:
        client = Client.of(running)
        client.push_image("library/hello", "latest")
        _send(client, "POST", "/projects", {"project_name": "demo"})
        _send(client, "POST", "/users", {"username": "alice", "password": "seven boats at anchor"})
        for number in range(4):
            _send(client, "POST", "/labels", {"name": f"label {number}", "scope": "g"})
            _send(client, "POST", "/usergroups", {"group_name": f"group {number}"})
        yield running


def _send(client: Client, method: str, path: str, document: object) -> None:
    sent = client.request(
        method, f"/api/v2.0{path}", json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    assert sent.status == 201, (path, sent)


def run(server: Server, who: str, phases: str, cases: int) -> str:
    """Try all there is, as somebody, and return what schemathesis prints; the reports are kept by that name.

    `cases` are generated for each operation, beside its examples and the edges of its schema.
    """
    REPORTS.mkdir(parents=True, exist_ok=True)
    program = str(Path(sys.executable).parent / "schemathesis")
    command = [program, "--config-file", str(CONFIG), "run", f"{server.url}{DOCUMENT}"]
    command += ["--auth", f"admin:{server.admin_password}"] if who == ADMINISTRATOR else []
    command += ["--phases", phases, "--max-examples", str(cases), "--no-shrink"]
    command += ["--generation-deterministic", "--request-timeout", "30", "--warnings", "off", "--no-color"]
    command += ["--suppress-health-check", "filter_too_much"]
    command += ["--report", "junit,html", "--report-junit-path", str(REPORTS / f"schemathesis-{who}.xml")]
    command += ["--report-html-path", str(REPORTS / f"schemathesis-{who}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, cwd=server.folder)
    said = "\n".join(line[:400] for line in done.stdout.splitlines())
    assert done.returncode == 0, f"{said}\n{done.stderr}"
    return said


@pytest.mark.parametrize(
    ("who", "phases", "cases", "least"),
    [
        (ADMINISTRATOR, CHANCE, 3, 2000),
        (NOBODY, "examples", 1, 100),
        # Chance finds little more for somebody who is refused nearly everything.
        pytest.param(ADMINISTRATOR, CHANCE, 30, 6000, marks=pytest.mark.full),
        pytest.param(NOBODY, EDGES, 1, 2000, marks=pytest.mark.full),
    ],
)
def test_every_answer_is_one_that_the_documentation_tells(
    server: Server, who: str, phases: str, cases: int, least: int
) -> None:
    """No fault of ours, nothing that is not documented, nothing taken that does not fit the document."""
    said = run(server, who, phases, cases)
    operations = re.search(r"Tested: (\d+)", said)
    generated = re.search(r"(\d+) generated", said)
    assert operations is not None, said
    assert generated is not None, said
    assert int(operations[1]) > 100
    assert int(generated[1]) > least
    suites = ET.parse(REPORTS / f"schemathesis-{who}.xml").getroot()
    assert suites.get("failures") == suites.get("errors") == "0"
