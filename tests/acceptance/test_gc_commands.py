"""`entrepot gc`, registry:2's name for it, and `entrepot blob why`, on a data folder with a server and without one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks import client
from benchmarks.processes import Server as Target
from benchmarks.seed import write_registry2_tree
from tests.support.server import Server

ENTREPOT = Path(sys.executable).parent / "entrepot"
OPEN = {"auth": {"none": {}}, "storage": {"delete": {"enabled": True}}}
LAYERS = [b"layer %d " % number * 1000 for number in range(3)]


def entrepot(server: Server, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the server's environment."""
    environment = {**server.environment(), **env}
    return subprocess.run(
        [ENTREPOT, *words], capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=server.folder
    )


def target(server: Server) -> Target:
    """Give the server as the client of benchmarks knows it."""
    assert isinstance(server.process, subprocess.Popen)
    return Target("entrepot", server.url, server.process)  # type: ignore[arg-type] - it is used for its address alone


def push_and_delete(server: Server) -> str:
    """Push two images that share a layer, and delete one; return its manifest's digest."""
    shared, kept, deleted = LAYERS
    client.push_image(target(server), "team/app", "kept", shared, kept)
    digest = client.push_image(target(server), "team/app", "deleted", shared, deleted)
    client.call(target(server), "DELETE", f"/v2/team/app/manifests/{digest}")
    return digest


def stored(server: Server) -> set[str]:
    """List the digests of the files among the blobs."""
    blobs = server.data / "docker/registry/v2/blobs"
    return {f"{path.parts[-4]}:{path.parts[-2]}" for path in blobs.glob("*/*/*/data")}


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def lifecycle(**values: str) -> dict[str, str | None]:
    """Give variables that set keys of `lifecycle`."""
    return {f"REGISTRY_LIFECYCLE_{name.upper()}": value for name, value in values.items()}


def test_the_server_collects_by_itself_when_trash_and_grace_are_over() -> None:
    """The variables of both are in force: nothing is kept in the trash, and a second later the bytes are gone."""
    with Server(OPEN, env=lifecycle(trash="0s", grace="1s")) as server:
        digest = push_and_delete(server)
        gone = {client.digest_of(LAYERS[2]), digest}
        until(lambda: not gone & stored(server))
        assert {client.digest_of(LAYERS[0]), client.digest_of(LAYERS[1])} <= stored(server)
        client.call(target(server), "GET", "/v2/team/app/manifests/kept", Accept="*/*")
        server.run("layout", "write", str(server.data))
        server.run("layout", "check", str(server.data))


def test_gc_without_a_server() -> None:
    """First what would go, then it goes, and a server finds all the rest."""
    with Server(OPEN, env=lifecycle(trash="0s", grace="1s")) as server:
        push_and_delete(server)
        server.stop()
        time.sleep(1.1)
        before = stored(server)
        listed = entrepot(server, "gc", "--dry-run", "--config", "config.yml")
        assert listed.stdout.splitlines().count(f"blob eligible for deletion: {client.digest_of(LAYERS[2])}") == 1
        assert "Would free" in listed.stderr
        assert stored(server) == before
        done = json.loads(entrepot(server, "gc", "--json", "--config", "config.yml").stdout)
        assert done["collected"]["blobs"] == 1
        assert done["collected"]["freed_bytes"] >= len(LAYERS[2])
        assert client.digest_of(LAYERS[2]) not in stored(server)
        server.start()
        client.call(target(server), "GET", "/v2/team/app/manifests/kept", Accept="*/*")
        client.call(target(server), "GET", f"/v2/team/app/blobs/{client.digest_of(LAYERS[1])}")


def test_gc_beside_a_server_leaves_the_grace_and_the_trash_alone() -> None:
    """It says what waits, and until when; `--now` empties the trash, and the grace begins."""
    with Server(OPEN, env=lifecycle(trash="24h", grace="1h")) as server:
        digest = push_and_delete(server)
        before = stored(server)
        plain = entrepot(server, "gc", "--config", "config.yml")
        assert plain.returncode == 0
        assert "Freed 0 bytes" in plain.stdout
        assert "waiting for the grace of 1h" in plain.stdout
        assert why(server, client.digest_of(LAYERS[2]))["reason"] == "trash"
        assert why(server, digest)["reason"] == "trash"
        tried = entrepot(server, "gc", "--now", "--dry-run", "--config", "config.yml")
        assert "1 entry of the trash would go for good" in tried.stderr
        told = entrepot(server, "gc", "--now", "--config", "config.yml").stdout
        assert "1 entry of the trash gone for good, 1 manifest with them" in told
        assert "Compared" in told
        assert why(server, client.digest_of(LAYERS[2]))["reason"] == "grace"
        assert stored(server) >= before
        shown = entrepot(server, "blob", "why", client.digest_of(LAYERS[1]), "--config", "config.yml").stdout
        assert "a manifest needs it as layer" in shown
        assert "kept" in shown


def why(server: Server, digest: str) -> Mapping[str, Any]:
    """Ask why something is kept, on the data folder; return the only reason."""
    answer = entrepot(server, "blob", "why", digest, "--json", "--config", "config.yml")
    (reason,) = json.loads(answer.stdout)["reasons"]
    assert isinstance(reason, dict)
    return reason


def test_nothing_is_collected_while_the_registry_is_read_only() -> None:
    """The command says why, and ends with 1."""
    with Server(OPEN) as server:
        server.run("readonly", "on", "--config", "config.yml")
        refused = entrepot(server, "gc", "--config", "config.yml")
        assert (refused.returncode, refused.stderr.count("read-only")) == (1, 1)


def test_registry2s_name_and_switches() -> None:
    """An old line of cron does the same; what has no tag goes after the grace, unless deleting is switched off."""
    with Server(OPEN, env=lifecycle(trash="0s", grace="1s")) as server:
        push_and_delete(server)
        untagged = client.push_image(target(server), "team/app", "soon-untagged", b"untagged")
        client.call(target(server), "DELETE", "/v2/team/app/manifests/soon-untagged")
        time.sleep(1.1)
        dry = entrepot(server, "garbage-collect", "-m", "-d", "config.yml")
        assert f"manifest eligible for deletion: team/app@{untagged}" in dry.stdout
        assert entrepot(server, "garbage-collect", "-q", "config.yml").stdout == ""
        done = entrepot(server, "garbage-collect", "--delete-untagged", REGISTRY_CONFIGURATION_PATH="config.yml")
        assert "1 manifest without a tag: gone in 1s" in done.stdout
        until(lambda: client.digest_of(b"untagged") not in stored(server))
        kept = entrepot(server, "garbage-collect", "-m", "config.yml", REGISTRY_STORAGE_DELETE_ENABLED="false")
        assert (kept.returncode, "storage.delete.enabled is false" in kept.stderr) == (0, True)


def test_a_folder_is_collected_only_when_all_of_it_is_known(tmp_path: Path) -> None:
    """Not before it is adopted, not after registry:2 wrote to it, and not while something in it cannot be read."""
    data = tmp_path / "registry"
    write_registry2_tree(data, repositories=2, tags=2)
    broken = data / "docker/registry/v2/repositories/team0/app0/_manifests/tags/v0/current/link"
    broken.write_text("no digest")
    with Server(OPEN, data=data, start=False) as server:
        files = stored(server)
        early = entrepot(server, "gc", "--data", data)
        assert "there is no registry in" in early.stderr
        entrepot(server, "adopt", data)
        refused = entrepot(server, "gc", "--now", "--data", data)
        assert (refused.returncode, "--accept-damage" in refused.stderr) == (1, True)
        accepted = entrepot(server, "gc", "--now", "--accept-damage", "--data", data)
        assert (accepted.returncode, "1 damaged thing let go of" in accepted.stderr) == (0, True)
        write_registry2_tree(data, repositories=3, tags=2)
        foreign = entrepot(server, "gc", "--now", "--data", data)
        assert (foreign.returncode, "entrepot adopt --delta" in foreign.stderr) == (1, True)
        assert stored(server) >= files
        entrepot(server, "adopt", "--delta", data)
        assert entrepot(server, "gc", "--now", "--data", data).returncode == 0
        assert stored(server) >= files


def test_the_next_command_finishes_what_a_killed_one_began() -> None:
    """Killed with -9 somewhere in the middle; the rest goes, and nothing stays claimed."""
    with Server(OPEN, env=lifecycle(trash="0s", grace="1s")) as server:
        digests = [client.digest_of(b"loose %d" % number) for number in range(60)]
        for number in range(60):
            client.push_blob(target(server), "team/app", b"loose %d" % number)
        server.stop()
        time.sleep(1.1)
        slow = {**server.environment(), "REGISTRY_LIFECYCLE_COLLECTION_RATE": "5"}
        command = [str(ENTREPOT), "gc", "--config", "config.yml"]
        with subprocess.Popen(command, env=slow, cwd=server.folder, stderr=subprocess.DEVNULL) as first:
            until(lambda: len(stored(server) & set(digests)) < 60)
            psutil.Process(first.pid).kill()
        left = stored(server) & set(digests)
        assert left
        assert entrepot(server, "gc", "--config", "config.yml").returncode == 0
        assert not stored(server) & set(digests)
