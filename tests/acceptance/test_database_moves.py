"""The metadata of a real registry moved to PostgreSQL, and back, while clients push and pull."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.api import BASE
from tests.support.http_client import Client
from tests.support.pages import Page
from tests.support.postgres import PostgresServer
from tests.support.server import Server

CONFIG = {"auth": "accounts", "storage": {"delete": {"enabled": True}}}
TYPE = {"Accept": "application/vnd.oci.image.manifest.v1+json"}


@dataclass(slots=True)
class Traffic:
    """What clients got while it went on: tags that were acknowledged, with their digests, and failed pulls."""

    pushed: dict[str, str] = field(default_factory=dict)
    pulls: int = 0
    failed: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


@contextmanager
def traffic(server: Server) -> Iterator[Traffic]:
    """Push and pull beside the block."""
    seen, stop = Traffic(), threading.Event()

    threads = [
        threading.Thread(target=_push, args=(Client.of(server), seen, stop)),
        threading.Thread(target=_pull, args=(Client.of(server), seen, stop)),
    ]
    for thread in threads:
        thread.start()
    try:
        while len(seen.pushed) < 10 and not seen.refused:
            time.sleep(0.05)
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def _push(client: Client, seen: Traffic, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set() and not seen.refused:
        number += 1
        try:
            seen.pushed[f"n{number}"] = client.push_image("team/app", f"n{number}", f"layer {number}".encode())
        except AssertionError:
            seen.refused.append(number)


def _pull(client: Client, seen: Traffic, stop: threading.Event) -> None:
    while not stop.is_set():
        for tag, digest in list(seen.pushed.items())[-3:]:
            answer = client.request("GET", f"/v2/team/app/manifests/{tag}", None, TYPE)
            seen.pulls += 1
            if (answer.status, answer.headers.get("docker-content-digest")) != (200, digest):
                seen.failed.append(f"{tag}: {answer.status}")
        time.sleep(0.01)


def command(server: Server, *words: str) -> list[str]:
    """Give a command on a registry's databases."""
    where = ["--config", str(server.folder / "config.yml")]
    return [str(Path(sys.executable).parent / "entrepot"), *where, *words]


def digests(server: Server, tags: list[str]) -> dict[str, str]:
    """Ask for tags."""
    client = Client.of(server)
    found = {tag: client.request("HEAD", f"/v2/team/app/manifests/{tag}", None, TYPE) for tag in tags}
    return {tag: str(answer.headers.get("docker-content-digest")) for tag, answer in found.items()}


def figures(server: Server) -> object:
    """Ask what is used."""
    found = Client.of(server).request("GET", f"{BASE}/statistics").json()
    return {name: found[name] for name in ("total_project_count", "total_repo_count", "total_storage_consumption")}


def moved(server: Server, to: str) -> dict[str, object]:
    """Move, and read what the command says."""
    done = subprocess.run(
        command(server, "db", "move", "--json"),
        env={**server.environment(), "ENTREPOT_MOVE_TO": to},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def kill_while_it_copies(server: Server, postgres: PostgresServer, to: str) -> None:
    """Begin a move and kill it as soon as the target has something of it."""
    environment = {**server.environment(), "ENTREPOT_MOVE_TO": to}
    with subprocess.Popen(command(server, "db", "move"), env=environment, stdout=subprocess.PIPE) as moving:
        while moving.poll() is None and "arriving" not in postgres.ask(to, "SELECT name FROM move_state"):
            time.sleep(0.002)
        moving.kill()


def test_a_serving_registry_moves_to_postgresql_and_back(postgres: PostgresServer) -> None:
    """Killed in the middle and run again: nothing acknowledged is lost, no pull fails, tokens and the log hold."""
    with postgres.database() as url, Server(CONFIG) as first:
        token = (
            Client.of(first).request("GET", "/token?service=entrepot&scope=repository:team/app:pull").json()["token"]
        )
        with traffic(first) as seen:
            kill_while_it_copies(first, postgres, url)
            said = moved(first, url)
            assert isinstance(said["held_seconds"], float)
            assert said["held_seconds"] < 10
        assert (seen.failed, seen.pulls > 10) == ([], True)
        used = figures(first)
        first.run("--config", str(first.folder / "config.yml"), "db", "check")
        first.stop()
        key = {"ENTREPOT_SECRET_KEY": None, "ENTREPOT_SECRET_KEY_FILE": str(first.data / "entrepot/keys/secret.key")}
        with Server(CONFIG, data=first.data, database=url, env=key) as second:
            assert digests(second, list(seen.pushed)) == seen.pushed
            assert figures(second) == used
            bearer = {**TYPE, "Authorization": f"Bearer {token}"}
            unsigned = Client.of(second, signed_in=False)
            assert unsigned.request("HEAD", "/v2/team/app/manifests/n1", None, bearer).status == 200
            check(second)
            with pytest.raises(AssertionError, match="has moved to"):
                first.start()
            after = Client.of(second).push_image("team/app", "after", b"after")
            moved(second, str(first.data))
            second.stop()
        with Server(CONFIG, data=first.data) as third:
            assert digests(third, [*seen.pushed, "after"]) == {**seen.pushed, "after": after}
            check(third)
            Client.of(third).push_image("team/app", "again", b"again")


def test_the_page_that_says_how(postgres: PostgresServer, tmp_path: Path) -> None:
    """Each command of the page, there and back, on a registry that has been stopped in between."""
    with postgres.database() as url, Server(CONFIG) as server:
        pushed = {"1": Client.of(server).push_image("team/app", "1", b"layer")}
        server.stop()
        config = tmp_path / "config.yml"
        config.write_text(
            json.dumps({"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(server.data)}}})[:-1]
            + f', "auth": "accounts", "metadata": {{"url": "{url}"}}}}'
        )
        page = Page(
            "how-to/move-the-database.md",
            tmp_path,
            {
                "postgresql://entrepot:PASSWORD@db.example.org/entrepot": url,
                "/etc/entrepot/config.yml": str(config),
                "/var/lib/entrepot": str(server.data),
            },
        )
        page.run()
        said = page.outputs["entrepot db move --data /var/lib/entrepot"]
        assert re.search(r"Moved [\d,]+ rows of \d+ tables, each compared", said)
        server.start()
        assert digests(server, ["1"]) == pushed


def check(server: Server) -> None:
    """Look whether the audit log holds, and whether all rows agree with each other and with the bytes."""
    where = ("--config", str(server.folder / "config.yml"))
    server.run(*where, "audit", "verify")
    server.run(*where, "doctor")
