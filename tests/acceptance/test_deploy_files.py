"""The files in `deploy/` that the container test does not run are at least what their readers accept."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from entrepot.config import check, load
from entrepot.vault.master import KeySource

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program and give its result with everything it said."""
    return subprocess.run(
        [str(word) for word in command], text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_systemd_accepts_the_unit(tool: Callable[[str], Path], tmp_path: Path) -> None:
    """systemd finds nothing to complain about in the unit, its program being there."""
    unit = (DEPLOY / "entrepot.service").read_text(encoding="utf-8")
    program = tmp_path / "entrepot"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    installed = tmp_path / "entrepot.service"
    installed.write_text(unit.replace("/opt/entrepot/.venv/bin/entrepot", str(program)), encoding="utf-8")
    seen = run(tool("systemd-analyze"), "verify", "--man=no", installed)
    assert (seen.returncode, seen.stdout) == (0, "")


def test_the_unit_leaves_little_to_take(tool: Callable[[str], Path]) -> None:
    """systemd rates what an intruder could reach from the service as small (at most 1.5 of 10)."""
    seen = run(
        tool("systemd-analyze"),
        "security",
        "--offline=true",
        "--threshold=15",
        "--no-pager",
        DEPLOY / "entrepot.service",
    )
    assert seen.returncode == 0, seen.stdout


def test_compose_accepts_the_file(tool: Callable[[str], Path]) -> None:
    """Docker Compose reads the compose file and sees the service as it is meant."""
    seen = run(tool("docker-compose"), "--file", DEPLOY / "compose.yaml", "config")
    assert seen.returncode == 0, seen.stdout
    assert "target: /var/lib/registry" in seen.stdout
    assert "read_only: true" in seen.stdout


def test_compose_accepts_the_cluster_and_its_programs_their_files(tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Docker Compose reads the file; HAProxy accepts the configuration in it, and so does Entrepot, for each role."""
    command = ("env", "STORE_SECRET=drawbridge", tool("docker-compose"), "--file", DEPLOY / "compose-cluster.yaml")
    seen = run(*command, "config", "--format", "json")
    assert seen.returncode == 0, seen.stdout
    found = json.loads(seen.stdout[seen.stdout.index("{") :])
    assert run(*command[2:], "config").returncode != 0, "it goes on without a secret"
    assert found["services"]["registry"]["deploy"]["replicas"] == 3
    for name, config in found["configs"].items():
        (tmp_path / name).write_text(config["content"].replace("$$", "$"), encoding="utf-8")
    # The names of containers are known to Docker's own resolver only, which is not asked here (`init-addr none`).
    checked = run(tool("haproxy"), "-c", "-f", tmp_path / "haproxy")
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "metadata.url").write_text("postgresql://entrepot:boat@postgres/entrepot", encoding="utf-8")
    (tmp_path / "secret.key").write_text("b3VyIHNlY3JldCBrZXkgb2YgMzIgYnl0ZXMhISEhISE=", encoding="utf-8")
    places = {"/run/secrets/secret_key": "secret.key", "/run/secrets/metadata_url": "metadata.url"}
    for service, role in (("registry", "web"), ("jobs", "jobs")):
        variables = found["services"][service]["environment"]
        assert variables["REGISTRY_NODE_ROLE"] == role
        ours = {name: str(tmp_path / places[value]) if value in places else value for name, value in variables.items()}
        assert check(tmp_path / "entrepot", ours).problems == []
    assert json.loads((tmp_path / "s3").read_text())["identities"][0]["credentials"][0]["secretKey"] == "drawbridge"


def test_the_first_lines_of_the_cluster_make_a_key_that_is_taken(tmp_path: Path) -> None:
    """The commands that the file begins with leave a secret key which the image's account alone may read."""
    text = (DEPLOY / "compose-cluster.yaml").read_text(encoding="utf-8")
    lines = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#   ")]
    told = [line for line in lines if not line.startswith("docker")]
    (tmp_path / "sudo").write_text('#!/bin/sh\necho "$@" >>sudo.log\n[ "$1" = chown ] || exec "$@"\n', encoding="utf-8")
    (tmp_path / "sudo").chmod(0o755)
    script = "set -e; umask 022; PATH=.:$PATH\n" + "\n".join(told)
    seen = subprocess.run(["sh", "-c", script], cwd=tmp_path, text=True, check=False, capture_output=True)
    assert seen.returncode == 0, seen.stderr
    assert KeySource(None, {"ENTREPOT_SECRET_KEY_FILE": str(tmp_path / "secrets" / "secret.key")}).load()
    assert "chown 10001:10001 secrets/secret.key" in (tmp_path / "sudo.log").read_text(encoding="utf-8")
    assert "USER 10001:10001" in (DEPLOY / "Containerfile").read_text(encoding="utf-8")


def test_the_cluster_believes_its_own_proxy_about_clients(tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Nodes take the address of a client from HAProxy, whose network is named and has nobody else in it."""
    command = ("env", "STORE_SECRET=drawbridge", tool("docker-compose"), "--file", DEPLOY / "compose-cluster.yaml")
    seen = run(*command, "config", "--format", "json")
    found = json.loads(seen.stdout[seen.stdout.index("{") :])
    (tmp_path / "config.yml").write_text(found["configs"]["entrepot"]["content"], encoding="utf-8")
    variables = {"ENTREPOT_METADATA_URL": "postgresql://entrepot@postgres/entrepot"}
    proxies = load(tmp_path / "config.yml", variables).config.client_proxies
    assert [str(network) for network in proxies] == [
        one["subnet"] for one in found["networks"]["default"]["ipam"]["config"]
    ]
    assert [name for name, service in found["services"].items() if service.get("ports")] == ["haproxy"]
