"""The ORAS library for Python, and Helm's own library, keep artifacts and charts with us."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

from tests.support.layout import tar_of
from tests.support.places import REFUSAL, Place
from tests.support.skopeo import Skopeo
from tests.support.terminal import Terminal

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def test_a_chart_is_pushed_and_pulled_by_helm(terminal: Terminal, place: Place, tmp_path: Path) -> None:
    """Helm finds the version of a pushed chart among the tags, and pulls the very same file."""
    chart = make_chart(tmp_path)
    plan = helm_plan(place, chart, tmp_path, place.login)
    found = json.loads(terminal.run(sys.executable, SUPPORT / "helm_session.py", json.dumps(plan)))
    assert found["tags"] == ["0.1.0"]
    assert (tmp_path / "into" / chart.name).read_bytes() == chart.read_bytes()
    skopeo = Skopeo(terminal, place)
    skopeo.login()
    raw = skopeo.about("inspect", "charts/greeting:0.1.0", "--raw")
    assert found["resolved"]["digest"] == f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
    assert json.loads(raw)["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"


def test_helm_is_refused_without_the_right_login(terminal: Terminal, login_place: Place, tmp_path: Path) -> None:
    """Helm can neither log in with a wrong password nor push without a login."""
    chart = make_chart(tmp_path)
    for login in (("admin", "wrong"), None):
        plan = helm_plan(login_place, chart, tmp_path, login)
        assert REFUSAL.search(terminal.refused(sys.executable, SUPPORT / "helm_session.py", json.dumps(plan)))


def helm_plan(place: Place, chart: Path, folder: Path, login: tuple[str, str] | None) -> dict[str, Any]:
    """Say what the program is to do."""
    (folder / "into").mkdir(exist_ok=True)
    return {
        "plain": place.plain,
        "address": place.address,
        "login": login,
        "credentials": str(folder / "credentials.json"),
        "chart": str(chart),
        "folder": "charts",
        "name": "greeting",
        "version": "0.1.0",
        "into": str(folder / "into"),
    }


def make_chart(folder: Path) -> Path:
    """Write a chart as `helm package` would."""
    files = {
        "greeting/Chart.yaml": b"apiVersion: v2\nname: greeting\nversion: 0.1.0\ndescription: says hello\n",
        "greeting/values.yaml": b"text: hello\n",
        "greeting/templates/text.yaml": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text}\n",
    }
    chart = folder / "greeting-0.1.0.tgz"
    with tarfile.open(fileobj=io.BytesIO(tar_of(files))) as plain, tarfile.open(chart, "w:gz") as packed:
        for member in plain:
            packed.addfile(member, plain.extractfile(member))
    return chart


def test_files_are_pushed_and_pulled_by_oras_for_python(terminal: Terminal, place: Place, tmp_path: Path) -> None:
    """Two files, one of a few megabytes, come back byte by byte, and the manifest names what was sent."""
    plan = oras_plan(place, tmp_path, place.login)
    found = json.loads(terminal.run(sys.executable, SUPPORT / "oras_session.py", json.dumps(plan)))
    assert found["tags"] == ["1"]
    assert found["manifest"]["annotations"]["by"] == "a test"
    for sent in map(Path, plan["files"]):
        assert (Path(plan["into"]) / sent.name).read_bytes() == sent.read_bytes()
    expected = {f"sha256:{hashlib.sha256(Path(sent).read_bytes()).hexdigest()}" for sent in plan["files"]}
    assert {layer["digest"] for layer in found["manifest"]["layers"]} == expected


def test_oras_for_python_is_refused_without_the_right_login(
    terminal: Terminal, login_place: Place, tmp_path: Path
) -> None:
    """The library pushes nothing with a wrong password or without a login."""
    for login in (("admin", "wrong"), None):
        plan = oras_plan(login_place, tmp_path, login)
        assert REFUSAL.search(terminal.refused(sys.executable, SUPPORT / "oras_session.py", json.dumps(plan)))


def oras_plan(place: Place, folder: Path, login: tuple[str, str] | None) -> dict[str, Any]:
    """Say what the program is to do, and write the files to send."""
    sent = {"notes.txt": b"two lines\nof text\n", "data.bin": os.urandom(3 << 20)}
    for name, data in sent.items():
        (folder / name).write_bytes(data)
    (folder / "into").mkdir(exist_ok=True)
    return {
        "plain": place.plain,
        "address": place.address,
        "backend": "basic" if place.login else "token",  # its tokens are asked for once, for the first thing it does
        "login": login,
        "target": f"{place.address}/oras-python/notes:1",
        "files": [str(folder / name) for name in sent],
        "into": str(folder / "into"),
    }
