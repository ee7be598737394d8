"""A file and variables mean to us what they mean to Debian's docker-registry."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from entrepot.config import ConfigInvalid, load

FILE = """\
version: 0.1
log: {{fields: {{service: registry}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0", draintimeout: 1m}}
"""
UNRECOGNIZED = re.compile(r"Ignoring unrecognized environment variable (REGISTRY_\w*)")
LISTENING = re.compile(r"listening on (127\.0\.0\.\d+):\d+")

CASES: dict[str, dict[str, str]] = {
    "nothing": {},
    "an address": {"REGISTRY_HTTP_ADDR": "127.0.0.2:0"},
    "a whole section": {"REGISTRY_HTTP": "{addr: '127.0.0.3:0'}"},
    "sorted order": {"REGISTRY_HTTP_ADDR": "127.0.0.4:0", "REGISTRY_HTTP": "{addr: '127.0.0.5:0'}"},
    "lower case": {"REGISTRY_http_addr": "127.0.0.6:0"},
    "unknown names": {
        "REGISTRY_PORT": "1",
        "REGISTRY_HTTP_FOO": "1",
        "REGISTRY_HTTP_TLS_FOO_BAR": "x",
        "REGISTRY__": "",
    },
    "a link of Kubernetes": {"REGISTRY_PORT_5000_TCP": "tcp://10.0.0.1:5000", "REGISTRY_SERVICE_HOST": "10.0.0.1"},
    "a key of the file, not of Go": {"REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES": "true"},
    "a second driver": {"REGISTRY_STORAGE_S3_BUCKET": "b"},
    "a new type and its parameters": {"REGISTRY_STORAGE": "filesystem", "REGISTRY_STORAGE_FILESYSTEM_MAXTHREADS": "30"},
    "a wrong duration": {"REGISTRY_HTTP_DRAINTIMEOUT": "soon"},
    "a quoted number for a duration": {"REGISTRY_HTTP_DRAINTIMEOUT": "'60'"},
    "nanoseconds": {"REGISTRY_HTTP_DRAINTIMEOUT": "60"},
    "a wrong flag": {"REGISTRY_HTTP_RELATIVEURLS": "perhaps"},
    "a flag of YAML 1.1": {"REGISTRY_HTTP_RELATIVEURLS": "on"},
    "a number for text": {"REGISTRY_HTTP_SECRET": "0123"},
    "a map for text": {"REGISTRY_HTTP_SECRET": "a: b"},
    "not YAML": {"REGISTRY_HTTP_SECRET": "@x"},
    "text for a list": {"REGISTRY_HTTP_TLS_CLIENTCAS": "/ca.pem"},
    "text for a number": {"REGISTRY_CATALOG_MAXENTRIES": "many"},
    "a wrong level": {"REGISTRY_LOG_LEVEL": "loud"},
    "a level in capitals": {"REGISTRY_LOG_LEVEL": "DEBUG"},
    "a wrong formatter": {"REGISTRY_LOG_FORMATTER": "xml"},
    "an empty value": {"REGISTRY_HTTP_HOST": ""},
    "no auth by name": {"REGISTRY_AUTH": "none"},
    "an auth type that is unknown": {"REGISTRY_AUTH": "magic"},
    "an auth type without its parameters": {"REGISTRY_AUTH": "htpasswd"},
    "an address without a port": {"REGISTRY_HTTP_ADDR": "127.0.0.1"},
}


@dataclass(frozen=True)
class Reading:
    """What a program made of a configuration."""

    starts: bool
    host: str
    unrecognized: frozenset[str]


def read_theirs(program: Path, file: Path, environ: dict[str, str]) -> Reading:
    """Start docker-registry and see what it says, until it listens or gives up."""
    log = file.with_suffix(".log")
    with log.open("w") as output:
        child = subprocess.Popen(
            [program, "serve", file], env={"PATH": "/usr/bin:/bin", **environ}, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and child.poll() is None and not LISTENING.search(log.read_text()):
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    said = log.read_text()
    listening = LISTENING.search(said)
    return Reading(listening is not None, listening[1] if listening else "", frozenset(UNRECOGNIZED.findall(said)))


def read_ours(file: Path, environ: dict[str, str]) -> Reading:
    """Load the same configuration."""
    try:
        loaded = load(file, environ)
    except ConfigInvalid as error:
        return Reading(starts=False, host="", unrecognized=_unrecognized(error.warnings))
    starts = not loaded.problems
    return Reading(starts, loaded.config.http.address.host if starts else "", _unrecognized(loaded.warnings))


def _unrecognized(warnings: list[str] | tuple[str, ...]) -> frozenset[str]:
    return frozenset(UNRECOGNIZED.findall("\n".join(warnings)))


@pytest.mark.parametrize("name", CASES)
def test_it_means_the_same_to_docker_registry(name: str, tmp_path: Path, tool: Callable[[str], Path]) -> None:
    """Both start or both refuse; both listen at the same address and pass over the same variables."""
    file = tmp_path / "config.yml"
    file.write_text(FILE.format(root=tmp_path / "data"))
    ours, theirs = read_ours(file, CASES[name]), read_theirs(tool("docker-registry"), file, CASES[name])
    if not theirs.starts:  # it may have stopped before it came to all variables
        assert ours.starts is False
    else:
        assert ours == theirs
